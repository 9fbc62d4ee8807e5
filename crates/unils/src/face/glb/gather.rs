//! The visible meshes of a file from outside, merged at their places: skins applied, shapes by their final names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::accessor::Numbers;
use super::matrix::Matrix;
use super::reader::{Beside, GlbOptions};
use super::scene::Scene;
use super::schema::{Mesh as GltfMesh, Node, Primitive};
use super::surface::Surface;
use crate::face::mesh::{MAX_TRIANGLES, MAX_VERTICES, Mesh, Part, Vec3};
use crate::face::names::{ShapeReport, match_names};
use crate::motion::shorten;
use crate::{Error, Result};

/// The most morph targets of one primitive.
const MAX_TARGETS: usize = 4096;

/// An opacity below which nothing is seen.
const INVISIBLE: f32 = 0.01;

/// What the meshes of a file add up to.
pub(super) struct Gathered<'s> {
    numbers: &'s Numbers<'s>,
    scene: &'s Scene<'s>,
    surfaces: Surface<'s>,
    /// The node that the head turns with.
    head: Option<usize>,
    pub mesh: Mesh,
    /// Displacements by vertex, by the shape's final name.
    pub shapes: BTreeMap<String, BTreeMap<u32, Vec3>>,
    /// How far each vertex turns with the head; none where only its place can tell.
    pub weights: Vec<Option<f32>>,
    /// The eye of each vertex: whether it is the left one, and the node that turns it.
    pub eyes: Vec<Option<(bool, usize)>>,
    pub report: ShapeReport,
}

/// A primitive's skin: per vertex the matrix, the part that turns with the head, the eye.
struct Skinned {
    matrices: Vec<Matrix>,
    weights: Vec<Option<f32>>,
    eyes: Vec<Option<(bool, usize)>>,
}

impl<'s> Gathered<'s> {
    pub(super) fn new(
        numbers: &'s Numbers<'s>,
        scene: &'s Scene<'s>,
        beside: Beside<'s>,
        head: Option<usize>,
    ) -> Self {
        Self {
            numbers,
            scene,
            surfaces: Surface::new(numbers, beside),
            head,
            mesh: Mesh::default(),
            shapes: BTreeMap::new(),
            weights: Vec::new(),
            eyes: Vec::new(),
            report: ShapeReport::default(),
        }
    }

    fn fail(&self, what: impl std::fmt::Display) -> Error {
        Error::face(self.numbers.place, what)
            .with_hint("the file is damaged or its exporter has a fault: export the head again")
    }

    /// Adds the meshes of all nodes of the scene, but for what is hidden.
    pub(super) fn add_all(&mut self, options: &GlbOptions) -> Result<()> {
        let hidden: Vec<String> = options.hide.iter().map(|name| name.to_lowercase()).collect();
        let is_hidden = |name: &str| {
            let name = name.to_lowercase();
            hidden.iter().any(|hidden| name.contains(hidden))
        };
        let root = self.numbers.root;
        for &index in &self.scene.order {
            let node = self.scene.node(index);
            let Some(at) = node.mesh else { continue };
            let mesh = root
                .meshes
                .get(at)
                .ok_or_else(|| self.fail(format!("mesh {at} of {}", root.meshes.len())))?;
            let name = mesh.name.as_deref().unwrap_or_default();
            if is_hidden(name) || is_hidden(self.scene.name(index)) {
                self.report.notes.push(format!("mesh {:?} is hidden", shorten(name)));
                continue;
            }
            for (number, primitive) in mesh.primitives.iter().enumerate() {
                let material = self.surfaces.read(primitive.material)?;
                if is_hidden(&material.name) || material.color[3] < INVISIBLE {
                    self.report.notes.push(format!("material {:?} is hidden", shorten(&material.name)));
                    continue;
                }
                let own = [self.scene.name(index), name].into_iter().find(|name| !name.is_empty());
                let base = own.unwrap_or("part");
                let part = if number == 0 { base.to_owned() } else { format!("{base}_{number}") };
                let start = self.mesh.triangles.len();
                self.add_primitive(mesh, index, node, primitive)?;
                let triangles = start..self.mesh.triangles.len();
                if !triangles.is_empty() {
                    self.mesh.parts.push(Part { name: part, triangles, material });
                }
            }
        }
        self.report.notes.append(&mut self.surfaces.notes);
        self.report.notes.dedup();
        Ok(())
    }

    fn add_primitive(
        &mut self,
        mesh: &GltfMesh,
        index: usize,
        node: &Node,
        primitive: &Primitive,
    ) -> Result<()> {
        let Some(&position) = primitive.attributes.get("POSITION") else { return Ok(()) };
        let positions = self.numbers.floats::<3>(position)?;
        let triangles = self.triangles(primitive, positions.len())?;
        let mut used: Vec<u32> = triangles.as_flattened().to_vec();
        used.sort_unstable();
        used.dedup();
        let first = self.mesh.positions.len();
        if first + used.len() > MAX_VERTICES || self.mesh.triangles.len() + triangles.len() > MAX_TRIANGLES {
            return Err(Error::face(self.numbers.place, "has too many vertices or triangles").with_hint(
                format!(
                    "expected at most {MAX_VERTICES} vertices and {MAX_TRIANGLES} triangles: reduce the mesh"
                ),
            ));
        }
        let skin = self.skin(node, primitive, positions.len())?;
        let world = self.scene.world[index];
        let matrix = |vertex: u32| match &skin {
            Some(skin) => skin.matrices[vertex as usize],
            None => world,
        };
        // The totals above keep vertex numbers within u32.
        let local = |vertex: u32| (first + used.partition_point(|&known| known < vertex)) as u32;
        let is_mirrored = triangles.first().is_some_and(|corners| matrix(corners[0]).mirrors());
        for &[a, b, c] in &triangles {
            let corners = if is_mirrored { [a, c, b] } else { [a, b, c] };
            self.mesh.triangles.push(corners.map(local));
        }
        self.mesh.positions.extend(used.iter().map(|&v| matrix(v).point(positions[v as usize])));
        self.add_attributes(primitive, &used, first, positions.len())?;
        let (eye, weight) = (self.scene.eye(index), self.weight_below(index));
        for &vertex in &used {
            let of_skin =
                skin.as_ref().map(|skin| (skin.weights[vertex as usize], skin.eyes[vertex as usize]));
            let (weight, eye) = of_skin.unwrap_or((weight, eye));
            self.weights.push(weight);
            self.eyes.push(eye);
        }
        self.add_targets(mesh, primitive, positions.len(), |vertex, delta| {
            let at = used.binary_search(&vertex).ok()?;
            Some(((first + at) as u32, matrix(vertex).direction(delta)))
        })
    }

    /// Corners in the primitive's own numbers, below `count`.
    fn triangles(&self, primitive: &Primitive, count: usize) -> Result<Vec<[u32; 3]>> {
        let corners: Vec<u32> = match primitive.indices {
            Some(index) => self.numbers.integers::<1>(index)?.as_flattened().to_vec(),
            None => (0..count as u32).collect(),
        };
        if let Some(bad) = corners.iter().find(|&&corner| corner as usize >= count) {
            return Err(self.fail(format!("a triangle has the corner {bad} of {count} vertices")));
        }
        let strip = |i: usize| if i.is_multiple_of(2) { [0, 1, 2] } else { [1, 0, 2] };
        Ok(match primitive.mode.unwrap_or(4) {
            4 => corners.as_chunks::<3>().0.to_vec(),
            5 => corners.windows(3).enumerate().map(|(i, three)| strip(i).map(|at| three[at])).collect(),
            6 => {
                let fans = corners.get(1..).unwrap_or_default().windows(2);
                fans.map(|pair| [corners[0], pair[0], pair[1]]).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Colours and texture coordinates of the used vertices; white and zero where another part has none.
    fn add_attributes(
        &mut self,
        primitive: &Primitive,
        used: &[u32],
        first: usize,
        count: usize,
    ) -> Result<()> {
        let numbers = self.numbers;
        let sized = |name: &str| match primitive.attributes.get(name) {
            Some(&index) if numbers.count(index)? == count => Ok(Some(index)),
            Some(_) => Err(self.fail(format!("{name} is not one for each of {count} vertices"))),
            None => Ok(None),
        };
        let (colors, uvs) = (sized("COLOR_0")?, sized("TEXCOORD_0")?);
        let total = self.mesh.positions.len();
        if let Some(index) = colors {
            let colors: Vec<Vec3> = if numbers.is_vec4(index) {
                numbers.floats::<4>(index)?.into_iter().map(|[r, g, b, _]| [r, g, b]).collect()
            } else {
                numbers.floats::<3>(index)?
            };
            self.mesh.colors.resize(first, [1.0; 3]);
            self.mesh.colors.extend(used.iter().map(|&v| colors[v as usize]));
        }
        if let Some(index) = uvs {
            let uvs = numbers.floats::<2>(index)?;
            self.mesh.uvs.resize(first, [0.0; 2]);
            self.mesh.uvs.extend(used.iter().map(|&v| uvs[v as usize]));
        }
        if !self.mesh.colors.is_empty() {
            self.mesh.colors.resize(total, [1.0; 3]);
        }
        if !self.mesh.uvs.is_empty() {
            self.mesh.uvs.resize(total, [0.0; 2]);
        }
        Ok(())
    }

    /// What turns with the head of a mesh without a skin: all of it below the head's node.
    fn weight_below(&self, index: usize) -> Option<f32> {
        self.head.filter(|&head| self.scene.is_below(index, head)).map(|_| 1.0)
    }

    /// The skin of a primitive, as its joints stand in the file.
    fn skin(&self, node: &Node, primitive: &Primitive, count: usize) -> Result<Option<Skinned>> {
        let Some(at) = node.skin else { return Ok(None) };
        let (numbers, scene) = (self.numbers, self.scene);
        let skins = &numbers.root.skins;
        let skin = skins.get(at).ok_or_else(|| self.fail(format!("skin {at} of {}", skins.len())))?;
        if let Some(bad) = skin.joints.iter().find(|&&joint| joint >= numbers.root.nodes.len()) {
            return Err(self.fail(format!("a joint is node {bad} of {}", numbers.root.nodes.len())));
        }
        let binds = match skin.inverse_bind_matrices {
            Some(index) => numbers.floats::<16>(index)?.into_iter().map(Matrix::from_columns).collect(),
            None => vec![Matrix::IDENTITY; skin.joints.len()],
        };
        if binds.len() < skin.joints.len() {
            return Err(self.fail(format!("{} bind matrices for {} joints", binds.len(), skin.joints.len())));
        }
        let joints: Vec<Matrix> =
            skin.joints.iter().zip(&binds).map(|(&joint, bind)| scene.world[joint].after(bind)).collect();
        let is_head: Vec<bool> = skin
            .joints
            .iter()
            .map(|&joint| self.head.is_some_and(|head| scene.is_below(joint, head)))
            .collect();
        let eyes: Vec<_> = skin.joints.iter().map(|&joint| scene.eye(joint)).collect();
        let mut skinned = Skinned {
            matrices: vec![Matrix::ZERO; count],
            weights: vec![None; count],
            eyes: vec![None; count],
        };
        let mut sums = vec![0.0_f32; count];
        let mut heads = vec![0.0_f32; count];
        let mut best = vec![0.0_f32; count];
        let mut found = false;
        for set in 0..2 {
            let attribute = |name: &str| primitive.attributes.get(&format!("{name}_{set}")).copied();
            let (Some(which), Some(weights)) = (attribute("JOINTS"), attribute("WEIGHTS")) else { continue };
            let (which, weights) = (numbers.integers::<4>(which)?, numbers.floats::<4>(weights)?);
            if which.len() != count || weights.len() != count {
                return Err(self.fail(format!("the skin's weights are not those of {count} vertices")));
            }
            found = true;
            let pairs = which.iter().zip(&weights).enumerate();
            for (vertex, (joint, weight)) in
                pairs.flat_map(|(vertex, (js, ws))| js.iter().zip(ws).map(move |pair| (vertex, pair)))
            {
                if *weight <= 0.0 {
                    continue;
                }
                let joint = *joint as usize;
                let Some(matrix) = joints.get(joint) else {
                    return Err(
                        self.fail(format!("vertex {vertex} hangs on joint {joint} of {}", joints.len()))
                    );
                };
                skinned.matrices[vertex] = skinned.matrices[vertex].plus(matrix, f64::from(*weight));
                sums[vertex] += weight;
                heads[vertex] += if is_head[joint] { *weight } else { 0.0 };
                if *weight > best[vertex] {
                    best[vertex] = *weight;
                    skinned.eyes[vertex] = eyes[joint];
                }
            }
        }
        for (vertex, sum) in sums.iter().enumerate() {
            if *sum > 0.0 {
                let whole = Matrix::ZERO.plus(&skinned.matrices[vertex], f64::from(1.0 / sum));
                skinned.matrices[vertex] = whole;
                skinned.weights[vertex] = self.head.map(|_| (heads[vertex] / sum).clamp(0.0, 1.0));
            } else {
                skinned.matrices[vertex] = Matrix::IDENTITY;
            }
        }
        Ok(found.then_some(skinned))
    }

    /// The shapes of a primitive; `place` says which vertex of the head one is and how it moves there.
    fn add_targets(
        &mut self,
        mesh: &GltfMesh,
        primitive: &Primitive,
        count: usize,
        place: impl Fn(u32, Vec3) -> Option<(u32, Vec3)>,
    ) -> Result<()> {
        let targets = &primitive.targets;
        if targets.is_empty() {
            return Ok(());
        }
        let names = self.target_names(mesh, primitive)?;
        let matches = match_names(&names);
        self.report.add(&names, &matches);
        let is_duplicate = |index: usize| matches.duplicates.iter().any(|(at, _)| *at == index);
        for (index, (target, name)) in targets.iter().zip(&names).enumerate() {
            let Some(&accessor) = target.get("POSITION") else { continue };
            if is_duplicate(index) {
                continue;
            }
            let found = self.numbers.count(accessor)?;
            if found != count {
                let what = format!(
                    "morph target {:?} has {found} displacements for {count} vertices",
                    shorten(name)
                );
                return Err(self.fail(what));
            }
            let name = matches.shapes[index].map_or_else(|| name.clone(), str::to_owned);
            let (vertices, deltas) = self.numbers.displacements(accessor)?;
            let shape = self.shapes.entry(name).or_default();
            for (vertex, delta) in vertices.into_iter().zip(deltas).filter_map(|(v, delta)| place(v, delta)) {
                let sum = shape.entry(vertex).or_insert([0.0; 3]);
                *sum = crate::face::mesh::add(*sum, delta);
            }
        }
        Ok(())
    }

    /// The names of a primitive's targets, numbered where the file has none.
    fn target_names(&self, mesh: &GltfMesh, primitive: &Primitive) -> Result<Vec<String>> {
        let count = primitive.targets.len();
        if count > MAX_TARGETS {
            return Err(self.fail(format!("{count} morph targets, expected at most {MAX_TARGETS}")));
        }
        let listed = |extras: &Value| extras.get("targetNames").and_then(Value::as_array).cloned();
        let Some(names) = listed(&mesh.extras).or_else(|| listed(&primitive.extras)) else {
            return Ok((0..count).map(|index| format!("target_{index}")).collect());
        };
        if names.len() != count {
            let name = mesh.name.as_deref().unwrap_or_default();
            let what =
                format!("mesh {:?} has {} names for {count} morph targets", shorten(name), names.len());
            return Err(Error::face(self.numbers.place, what)
                .with_hint("mesh.extras.targetNames must name each target once: export the head again"));
        }
        let name = |(index, name): (usize, &Value)| {
            name.as_str().map_or_else(|| format!("target_{index}"), str::to_owned)
        };
        Ok(names.iter().enumerate().map(name).collect())
    }
}
