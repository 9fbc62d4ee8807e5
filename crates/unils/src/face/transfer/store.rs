//! A [`Transfer`] as a safetensors file: its matrices, and in the notes what they are for.

use std::collections::BTreeMap;
use std::path::Path;

use super::linear::BoxedLeastSquares;
use super::{Report, SHAPES, Transfer, UNKNOWNS};
use crate::checkpoint::{StoredAs, TensorFile, write_safetensors};
use crate::face::flame::IDENTITY;
use crate::motion::Space;
use crate::{Error, Result};

/// What the notes call this kind of file, and its version.
const KIND: &str = "unils flame-arkit transfer";
const VERSION: &str = "1";

/// Most jaw angles of a file.
const MOST_ANGLES: usize = 64;

impl Transfer {
    /// Writes the conversion to a `.safetensors` file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let hessian: Vec<f32> = self.solver.hessian.iter().map(|&value| value as f32).collect();
        let fitted: Vec<f32> =
            (0..SHAPES).map(|i| f32::from(u8::from(self.solver.free.contains(&i)))).collect();
        let cost = [self.solver.l1 as f32];
        let angles = self.jaw_angles.len();
        let tensors: [(&str, &[usize], &[f32]); 7] = [
            ("shape_products", &[SHAPES, SHAPES], &hessian),
            ("shape_is_fitted", &[SHAPES], &fitted),
            ("shape_cost", &[1], &cost),
            ("jaw_angles", &[angles], &self.jaw_angles),
            ("expression_products", &[angles, SHAPES, UNKNOWNS], &self.products),
            ("flame_from_arkit", &[UNKNOWNS, SHAPES], &self.flame_from_arkit),
            ("identity", &[self.identity.len()], &self.identity),
        ];
        let tensors = tensors.into_iter().filter(|(_, _, values)| !values.is_empty());
        let tensors = tensors.map(|(name, shape, values)| (name, shape, values, StoredAs::F32));
        let names = |space: Space, range: std::ops::Range<usize>| {
            let names: Vec<_> = space.channels()[range].iter().map(|channel| channel.name).collect();
            names.join(" ")
        };
        let report = serde_json::to_string(&self.report)
            .map_err(|problem| Error::argument("report of the transfer", problem))?;
        let notes = BTreeMap::from([
            ("kind".to_owned(), KIND.to_owned()),
            ("version".to_owned(), VERSION.to_owned()),
            ("arkit_channels".to_owned(), names(Space::Arkit55, 0..SHAPES)),
            ("flame_channels".to_owned(), format!("{} jaw", names(Space::Flame108, 0..UNKNOWNS - 1))),
            ("report".to_owned(), report),
        ]);
        write_safetensors(path, tensors, &notes)
    }

    /// Reads a file of [`Transfer::save`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Checkpoint`] if it cannot be read, [`Error::Face`] if it is another kind of file, of
    /// another version, or its matrices are not what they should be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_file(&TensorFile::open(path)?, &path.display().to_string())
    }

    fn from_file(file: &TensorFile, place: &str) -> Result<Self> {
        let fail = |what: String| {
            Error::face(place, what).with_hint("fit FLAME and the ARKit head again and save the result")
        };
        let note = |key: &str| file.notes().get(key).map(String::as_str).unwrap_or_default();
        if note("kind") != KIND {
            return Err(fail("is no conversion between FLAME and ARKit".to_owned()));
        }
        if note("version") != VERSION {
            let found = crate::motion::shorten(note("version"));
            return Err(fail(format!("version {found:?} of the format, expected {VERSION:?}")));
        }
        let tensor = |name: &str, expected: &[usize]| -> Result<Vec<f32>> {
            let found = file.info(name).map(|info| info.shape);
            if found.as_deref() != Some(expected) {
                return Err(fail(format!("{name}: shape {found:?}, expected {expected:?}")));
            }
            let values = file.read_f32(name)?;
            match values.iter().position(|value| !value.is_finite()) {
                Some(index) => Err(fail(format!("{name}: number {index} is {}", values[index]))),
                None => Ok(values),
            }
        };
        let length = |name: &str| file.info(name).and_then(|info| info.shape.first().copied()).unwrap_or(0);
        let (angles, components) = (length("jaw_angles"), length("identity"));
        if !(2..=MOST_ANGLES).contains(&angles) || components > IDENTITY {
            return Err(fail(format!("{angles} jaw angles and {components} identity components")));
        }
        let jaw_angles = tensor("jaw_angles", &[angles])?;
        if !jaw_angles.is_sorted_by(|a, b| a < b) {
            return Err(fail("jaw_angles: not ascending".to_owned()));
        }
        let hessian = tensor("shape_products", &[SHAPES, SHAPES])?.into_iter().map(f64::from).collect();
        let fitted = tensor("shape_is_fitted", &[SHAPES])?;
        let free = (0..SHAPES).filter(|&i| fitted[i] != 0.0).collect();
        let l1 = f64::from(tensor("shape_cost", &[1])?[0]);
        let report: Report = serde_json::from_str(note("report")).map_err(|problem| {
            fail(format!("its report is damaged: {}", crate::motion::shorten(&problem.to_string())))
        })?;
        Ok(Self {
            solver: BoxedLeastSquares { hessian, free, l1 },
            products: tensor("expression_products", &[angles, SHAPES, UNKNOWNS])?,
            flame_from_arkit: tensor("flame_from_arkit", &[UNKNOWNS, SHAPES])?,
            identity: if components == 0 { Vec::new() } else { tensor("identity", &[components])? },
            jaw_angles,
            report,
        })
    }
}
