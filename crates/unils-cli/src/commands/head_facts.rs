//! What `inspect` says of a head.

use std::path::Path;

use serde::Serialize;
use unils::Result;
use unils::face::{Face, open_head};

use crate::output::Facts;

/// A head's size and how its shapes were understood.
#[derive(Debug, Serialize)]
pub struct HeadFacts {
    name: String,
    vertices: usize,
    triangles: usize,
    /// Names of the parts and of their materials.
    parts: Vec<(String, String)>,
    regions: Vec<String>,
    looks: Vec<String>,
    /// Metres.
    height: f32,
    pivot: [f32; 3],
    turning_eyes: usize,
    /// Names in the file and ARKit's shapes that they are.
    matched: Vec<(String, &'static str)>,
    extra: Vec<String>,
    duplicates: Vec<(String, &'static str)>,
    missing: Vec<&'static str>,
    notes: Vec<String>,
}

/// Reads a head.
pub fn read(path: &Path) -> Result<HeadFacts> {
    let head = open_head(path)?;
    let mesh = head.rig.mesh();
    let heights = || mesh.positions.iter().map(|position| position[1]);
    Ok(HeadFacts {
        vertices: mesh.positions.len(),
        triangles: mesh.triangles.len(),
        parts: mesh.parts.iter().map(|part| (part.name.clone(), part.material.name.clone())).collect(),
        regions: mesh.regions.keys().cloned().collect(),
        looks: head.looks.iter().map(|look| look.name.clone()).collect(),
        height: heights().fold(f32::NEG_INFINITY, f32::max) - heights().fold(f32::INFINITY, f32::min),
        pivot: head.rig.pivot(),
        turning_eyes: head.rig.eyes().len(),
        name: head.name,
        matched: head.report.matched,
        extra: head.report.extra,
        duplicates: head.report.duplicates,
        missing: head.report.missing,
        notes: head.report.notes,
    })
}

impl HeadFacts {
    /// Lines for people.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts
            .add("head", &self.name)
            .add(
                "mesh",
                format_args!(
                    "{} vertices, {} triangles, {:.3} m high",
                    self.vertices, self.triangles, self.height
                ),
            )
            .add("parts", self.parts.iter().map(|(part, _)| part.as_str()).collect::<Vec<_>>().join(", "))
            .add("shapes", format_args!("{} of ARKit's 52", 52 - self.missing.len()));
        let mut list = |name: &str, items: Vec<String>| {
            if !items.is_empty() {
                facts.add(name, items.join(", "));
            }
        };
        list("missing", self.missing.iter().map(ToString::to_string).collect());
        list("other", self.extra.clone());
        let renamed = self.matched.iter().filter(|(name, shape)| name != shape);
        list("renamed", renamed.map(|(name, shape)| format!("{name} = {shape}")).collect());
        list("left out", self.duplicates.iter().map(|(name, shape)| format!("{name} = {shape}")).collect());
        list("regions", self.regions.clone());
        list("looks", self.looks.clone());
        if self.turning_eyes > 0 {
            facts.add("eyes", format_args!("{} turned by the eyeLook shapes", self.turning_eyes));
        }
        for note in &self.notes {
            facts.add("note", note);
        }
        facts
    }
}
