//! FLAME files: told apart by their content, read into the same arrays, every shape checked.

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::Path;

use super::pickled::Pickled;
use super::skeleton::JOINTS;
use super::{DIRECTIONS, Flame, FlameArrays, POSE_FEATURES};
use crate::checkpoint::TensorFile;
use crate::face::mesh::{MAX_TRIANGLES, MAX_VERTICES};
use crate::file::npz::Npz;
use crate::{Error, Result};

/// What to do without a FLAME file.
pub const WHERE_TO_GET_FLAME: &str = "FLAME does not come with this program: register at \
    https://flame.is.tue.mpg.de, accept the licence shown there (FLAME 2023 Open is under CC BY 4.0; the other versions \
    are for non-commercial use), download it and name its generic_model.pkl or flame2023_Open.pkl";

/// The largest file that is read; the published ones have about 50 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The arrays that a model needs.
const NAMES: [&str; 7] =
    ["v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table"];

/// An array: its shape, and its numbers in row-major order.
pub(super) type Numbers = (Vec<usize>, Vec<f32>);

/// Named arrays of a file in some format.
pub(super) trait Source {
    /// Names of everything in the file.
    fn names(&self) -> Vec<String>;

    /// The array of that name, which is there.
    fn array(&mut self, name: &str) -> Result<Numbers>;
}

impl Flame {
    /// Loads a model from its user's file, whatever its ending: the official pickle (`generic_model.pkl` of FLAME 2020
    /// and before, `flame2023*.pkl`), or the same arrays in a file of `torch.save`, an `.npz` or a safetensors file.
    ///
    /// # Errors
    /// [`Error::Face`] if there is no such file (the hint says where to get one and under which licence), if it
    /// lacks an array or has one of another shape, or for what [`Flame::new`] refuses; [`Error::Io`] if it cannot be
    /// read; [`Error::Checkpoint`] for a file that is none of these formats, damaged, or made to do harm.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let place = path.display();
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::face(place, "there is no such file").with_hint(WHERE_TO_GET_FLAME));
            }
            other => other.map_err(|error| Error::io("open", path, error))?,
        };
        if !metadata.is_file() {
            return Err(Error::face(place, "is not a file").with_hint(
                "name the FLAME file itself, such as generic_model.pkl, not the folder that it is in",
            ));
        }
        if metadata.len() > MAX_BYTES {
            let what = format!("{} bytes, far more than a FLAME model has", metadata.len());
            return Err(Error::face(place, what).with_hint(WHERE_TO_GET_FLAME));
        }
        let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
        Self::from_bytes(bytes, &place.to_string())
    }

    /// Loads a model from a file's bytes; `place` names it in messages.
    ///
    /// # Errors
    /// As [`Flame::open`].
    pub fn from_bytes(bytes: Vec<u8>, place: &str) -> Result<Self> {
        match bytes.as_slice() {
            // pickles of protocol 2 and later, and of protocol 0 and 1 (a dictionary)
            [0x80, 0..=5, ..] | [b'(', b'd', ..] | [b'}', b'q', ..] => {
                let tree = Pickled::parse(&bytes, place)?;
                load(&mut Pickled::new(&tree, place)?, place)
            }
            [b'P', b'K', ..] => {
                if let Ok(mut npz) = Npz::from_bytes(&bytes, place)
                    && npz.names().any(|name| NAMES.contains(&name))
                {
                    return load(&mut npz, place);
                }
                load(&mut TensorFile::from_bytes(bytes, place)?, place)
            }
            _ => load(&mut TensorFile::from_bytes(bytes, place)?, place),
        }
    }
}

impl Source for TensorFile {
    fn names(&self) -> Vec<String> {
        TensorFile::names(self).map(str::to_owned).collect()
    }

    fn array(&mut self, name: &str) -> Result<Numbers> {
        let shape = self.info(name).map(|info| info.shape).unwrap_or_default();
        Ok((shape, self.read_f32(name)?))
    }
}

impl Source for Npz<Cursor<&[u8]>> {
    fn names(&self) -> Vec<String> {
        Npz::names(self).map(str::to_owned).collect()
    }

    fn array(&mut self, name: &str) -> Result<Numbers> {
        self.f32_values(name)
    }
}

fn load(source: &mut impl Source, place: &str) -> Result<Flame> {
    let names = source.names();
    let missing: Vec<&str> =
        NAMES.into_iter().filter(|name| !names.iter().any(|known| known == name)).collect();
    if !missing.is_empty() {
        let what = format!("is no FLAME model: it lacks {}", missing.join(", "));
        let listed: Vec<String> = names.iter().take(12).map(|name| crate::motion::shorten(name)).collect();
        let hint = match listed.as_slice() {
            [] => "it holds no named arrays at all".to_owned(),
            names => format!("it holds {}. {WHERE_TO_GET_FLAME}", names.join(", ")),
        };
        return Err(Error::face(place, what).with_hint(hint));
    }
    let (shape, v_template) = source.array("v_template")?;
    let [vertices, 3] = shape[..] else {
        return Err(misshapen(place, "v_template", &shape, "(vertices, 3)"));
    };
    if vertices == 0 || vertices > MAX_VERTICES {
        return Err(Error::face(place, format!("{vertices} vertices, expected 1 to {MAX_VERTICES}")));
    }
    let (shape, corners) = source.array("f")?;
    let [triangles, 3] = shape[..] else { return Err(misshapen(place, "f", &shape, "(triangles, 3)")) };
    if triangles > MAX_TRIANGLES {
        return Err(Error::face(place, format!("{triangles} triangles, expected at most {MAX_TRIANGLES}")));
    }
    let f = corners.iter().enumerate().map(|(index, &corner)| vertex_number(place, index, corner, vertices));
    let f = f.collect::<Result<_>>()?;
    let mut exact = |name: &str, expected: &[usize]| -> Result<Vec<f32>> {
        let (shape, values) = source.array(name)?;
        if shape == expected {
            return Ok(values);
        }
        Err(misshapen(place, name, &shape, &format!("{expected:?} for {vertices} vertices")))
    };
    let shapedirs = exact("shapedirs", &[vertices, 3, DIRECTIONS])?;
    let posedirs = exact("posedirs", &[vertices, 3, POSE_FEATURES])?;
    let j_regressor = exact("J_regressor", &[JOINTS, vertices])?;
    let weights = exact("weights", &[vertices, JOINTS])?;
    let tree = exact("kintree_table", &[2, JOINTS])?;
    // The root's entry is 4294967295, which is -1 in the signed reading: no joint at all.
    let parent = |joint: usize| (0..JOINTS).find(|&parent| tree[joint] == parent as f32);
    let parents = std::array::from_fn(parent);
    Flame::new(FlameArrays { v_template, f, shapedirs, posedirs, j_regressor, weights, parents }, place)
}

fn misshapen(place: &str, name: &str, found: &[usize], expected: &str) -> Error {
    Error::face(place, format!("{name}: shape {found:?}, expected {expected}")).with_hint(
        "FLAME 2019, 2020 and 2023 have 300 identity and 100 expression directions and 5 joints; smaller copies and \
         body models are not read",
    )
}

/// A triangle's corner. Whole numbers up to [`MAX_VERTICES`] are exact as f32.
fn vertex_number(place: &str, index: usize, corner: f32, vertices: usize) -> Result<u32> {
    if corner >= 0.0 && corner.fract() == 0.0 && corner < vertices as f32 {
        return Ok(corner as u32);
    }
    let triangle = index / 3;
    Err(Error::face(
        place,
        format!("f: triangle {triangle} names vertex {corner}, expected 0 to {}", vertices - 1),
    )
    .with_hint("the file is damaged: download the model again"))
}
