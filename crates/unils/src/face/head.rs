//! A head as a file holds it: the rig, its looks, and what the reader noticed.
//!
//! ```
//! use unils::face::{BlendshapeRig, Head, Look, Mesh, Part, Shape};
//! # let mesh = Mesh {
//! #     positions: vec![[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]],
//! #     triangles: vec![[0, 1, 2]],
//! #     parts: vec![Part { name: "face".into(), triangles: 0..1, material: Default::default() }],
//! #     ..Mesh::default()
//! # };
//! # let jaw = Shape { name: "jawOpen".into(), vertices: vec![0], deltas: vec![[0.0, -0.02, 0.0]] };
//! # let wide = Shape { name: "wide".into(), vertices: vec![1], deltas: vec![[0.01, 0.0, 0.0]] };
//! let rig = BlendshapeRig::new(mesh, vec![jaw, wide], [0.0; 3], vec![], vec![], "example")?;
//! let look = Look { name: "wide".into(), shapes: [("wide".into(), 1.0)].into(), ..Look::default() };
//! let head = Head::new("example", rig).with_looks(vec![look])?;
//! let wider = head.look("wide")?;
//! assert_eq!(unils::face::Face::mesh(&wider).positions[1], [0.11, 0.0, 0.0]);
//! # Ok::<(), unils::Error>(())
//! ```

use std::collections::BTreeMap;

use super::mesh::{Vec3, add, scale};
use super::names::ShapeReport;
use super::{BlendshapeRig, Eye, Face};
use crate::motion::shorten;
use crate::{Error, Result};

/// A rig with what else its file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The head's name: what its file calls it, or the file's own name.
    pub name: String,
    /// Mesh, shapes, pivot and eyes.
    pub rig: BlendshapeRig,
    /// The looks it can be given; empty for one look only.
    pub looks: Vec<Look>,
    /// How the file's names became ARKit's, and what else its reader noticed.
    pub report: ShapeReport,
}

/// One look of a head: colours and proportions on top of the neutral one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Name, unique in the head.
    pub name: String,
    /// Linear RGB and opacity by the name of the material that gets them; others keep theirs.
    pub colors: BTreeMap<String, [f32; 4]>,
    /// Weights of shapes that are added to the mesh at rest, by name: proportions. Those of ARKit move as well and
    /// are rarely meant.
    pub shapes: BTreeMap<String, f32>,
}

impl Head {
    /// A head of one look.
    pub fn new(name: &str, rig: BlendshapeRig) -> Self {
        let report = ShapeReport::of_rig(&rig);
        Self { name: name.to_owned(), rig, looks: Vec::new(), report }
    }

    /// The same head with these looks.
    ///
    /// # Errors
    /// [`Error::Face`] if two have one name, or if one names a material or shape that is not there or a number that
    /// is not finite.
    pub fn with_looks(self, looks: Vec<Look>) -> Result<Self> {
        for (index, look) in looks.iter().enumerate() {
            if looks[..index].iter().any(|other| other.name == look.name) {
                return Err(Error::face(
                    &self.name,
                    format!("two looks are named {:?}", shorten(&look.name)),
                ));
            }
            look.check(&self.rig, &self.name)?;
        }
        Ok(Self { looks, ..self })
    }

    /// The rig in one of the looks.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such look; the hint lists those there are.
    pub fn look(&self, name: &str) -> Result<BlendshapeRig> {
        let Some(look) = self.looks.iter().find(|look| look.name == name) else {
            let names: Vec<&str> = self.looks.iter().map(|look| look.name.as_str()).collect();
            let hint = if names.is_empty() {
                "this head has one look only".to_owned()
            } else {
                format!("this head has the looks {}", names.join(", "))
            };
            let what = format!("{} has no look {:?}", self.name, shorten(name));
            return Err(Error::argument("look", what).with_hint(hint));
        };
        look.apply(&self.rig, &self.name)
    }
}

impl Look {
    fn check(&self, rig: &BlendshapeRig, place: &str) -> Result<()> {
        let fail = |what: String| Err(Error::face(format!("{place}, look {:?}", shorten(&self.name)), what));
        for (name, color) in &self.colors {
            if !rig.mesh().parts.iter().any(|part| part.material.name == *name) {
                return fail(format!("there is no material {:?}", shorten(name)));
            }
            if color.iter().any(|value| !(0.0..=1.0).contains(value)) {
                return fail(format!("the colour of {:?} is {color:?}, expected 0 to 1", shorten(name)));
            }
        }
        for (name, weight) in &self.shapes {
            if rig.shape(name).is_none() {
                return fail(format!("there is no shape {:?}", shorten(name)));
            }
            if !weight.is_finite() {
                return fail(format!("the weight of {:?} is {weight}", shorten(name)));
            }
        }
        Ok(())
    }

    /// A rig in this look: its materials coloured, its mesh at rest moved, and each eye's centre with its eye.
    /// `place` names the head in messages.
    ///
    /// # Errors
    /// [`Error::Face`] if the look names a material or shape that is not there or a number that is not finite.
    pub fn apply(&self, rig: &BlendshapeRig, place: &str) -> Result<BlendshapeRig> {
        self.check(rig, place)?;
        let mut mesh = rig.mesh().clone();
        for part in &mut mesh.parts {
            if let Some(&color) = self.colors.get(&part.material.name) {
                part.material.color = color;
            }
        }
        let mut moved = vec![[0.0; 3]; mesh.positions.len()];
        for (name, &weight) in &self.shapes {
            let shape = rig.shape(name).into_iter();
            for (&vertex, &delta) in shape.flat_map(|shape| shape.vertices.iter().zip(&shape.deltas)) {
                let sum: &mut Vec3 = &mut moved[vertex as usize];
                *sum = add(*sum, scale(delta, weight));
            }
        }
        for (position, &delta) in mesh.positions.iter_mut().zip(&moved) {
            *position = add(*position, delta);
        }
        let eyes = rig.eyes().iter().map(|eye| moved_eye(eye, &moved)).collect();
        let (shapes, weights) = (rig.shapes().to_vec(), rig.head_weights().to_vec());
        BlendshapeRig::new(mesh, shapes, rig.pivot(), weights, eyes, place)
    }
}

/// An eye whose centre goes where its vertices go on average.
fn moved_eye(eye: &Eye, moved: &[Vec3]) -> Eye {
    let sum = eye.vertices.iter().fold([0.0; 3], |sum, &vertex| add(sum, moved[vertex as usize]));
    let mean = scale(sum, 1.0 / eye.vertices.len().max(1) as f32);
    Eye { center: add(eye.center, mean), ..eye.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{Mesh, Part, Shape};

    fn head() -> Head {
        let mesh = Mesh {
            positions: vec![[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]],
            triangles: vec![[0, 1, 2]],
            parts: vec![Part { name: "face".into(), triangles: 0..1, material: Default::default() }],
            ..Mesh::default()
        };
        let shape = |name: &str, vertex, y| Shape {
            name: name.to_owned(),
            vertices: vec![vertex],
            deltas: vec![[0.0, y, 0.0]],
        };
        let shapes = vec![shape("jawOpen", 0, -0.5), shape("tall", 2, 0.25)];
        let eye = Eye { is_left: true, center: [0.0, 0.05, 0.0], vertices: vec![0, 2] };
        Head::new("test", BlendshapeRig::new(mesh, shapes, [0.0; 3], vec![], vec![eye], "test").unwrap())
    }

    #[test]
    fn a_look_colours_and_moves() {
        let red = [1.0, 0.0, 0.0, 1.0];
        let look = Look {
            name: "tall".into(),
            colors: [("plain".to_owned(), red)].into(),
            shapes: [("tall".to_owned(), 2.0)].into(),
        };
        let head = head().with_looks(vec![look]).unwrap();
        let rig = head.look("tall").unwrap();
        assert_eq!(rig.mesh().positions, [[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.6, 0.0]]);
        assert_eq!(rig.mesh().parts[0].material.color, red);
        assert_eq!(rig.eyes()[0].center, [0.0, 0.3, 0.0]);
        assert_eq!(rig.shapes(), head.rig.shapes());
    }

    #[test]
    fn looks_that_do_not_fit_are_refused() {
        let look = |color: &str, value, shape: &str, weight| Look {
            name: "a".into(),
            colors: [(color.to_owned(), [value; 4])].into(),
            shapes: [(shape.to_owned(), weight)].into(),
        };
        let good = look("plain", 0.5, "tall", 1.0);
        assert!(head().with_looks(vec![good.clone()]).is_ok());
        assert!(head().with_looks(vec![good.clone(), good]).is_err());
        for bad in [
            look("skin", 0.5, "tall", 1.0),
            look("plain", 1.5, "tall", 1.0),
            look("plain", f32::NAN, "tall", 1.0),
            look("plain", 0.5, "short", 1.0),
            look("plain", 0.5, "tall", f32::INFINITY),
        ] {
            assert!(head().with_looks(vec![bad.clone()]).is_err(), "{bad:?}");
        }
        assert_eq!(head().look("b").unwrap_err().hint(), Some("this head has one look only"));
    }
}
