//! The face that vertex metrics are measured on, with the lists of its vertices that they look at.

use std::fmt;
use std::path::Path;

use unils::face::flame::{FLAME_VERTICES, Flame, FlameFace, LIP_VERTICES, UPPER_FACE_VERTICES};
use unils::face::{DefaultLook, Face, default_head, open_head};
use unils::metrics::release::{PartScorer, VertexLists};
use unils::{Error, Result};

/// A face with its lists of lips and upper face.
pub struct MeasuredFace {
    face: Box<dyn Face>,
    lips: Vec<u32>,
    upper_face: Vec<u32>,
    name: String,
}

impl MeasuredFace {
    /// A face with lists of one's own; a vertex that stands twice counts twice. `name` is for reports.
    ///
    /// # Errors
    /// [`Error::Argument`] if a list is empty or names a vertex that is not there.
    pub fn new(
        face: Box<dyn Face>,
        lips: Vec<u32>,
        upper_face: Vec<u32>,
        name: impl Into<String>,
    ) -> Result<Self> {
        let lists = VertexLists { lips: &lips, upper_face: &upper_face };
        PartScorer::new(face.mesh().positions.len(), lists, 0, 0)?;
        Ok(Self { face, lips, upper_face, name: name.into() })
    }

    /// A face with the regions that it labels itself.
    ///
    /// # Errors
    /// [`Error::Face`] if it does not label lips and upper face.
    pub fn labelled(face: Box<dyn Face>, name: impl Into<String>) -> Result<Self> {
        let VertexLists { lips, upper_face } = VertexLists::of(face.as_ref())?;
        let (lips, upper_face) = (lips.to_vec(), upper_face.to_vec());
        Self::new(face, lips, upper_face, name)
    }

    /// The head that comes with the library, for ARKit-55.
    ///
    /// # Errors
    /// As [`default_head`].
    pub fn default_head() -> Result<Self> {
        Self::labelled(Box::new(default_head(DefaultLook::A)?), "default head")
    }

    /// A head with ARKit's shapes and labelled regions from a file.
    ///
    /// # Errors
    /// As [`open_head`] and [`MeasuredFace::labelled`].
    pub fn open_head(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::labelled(Box::new(open_head(path)?.rig), format!("head {}", file_name(path)))
    }

    /// FLAME's mean identity with the published lists of the release, repeated numbers included.
    ///
    /// # Errors
    /// As [`Flame::open`], and [`Error::Face`] for a model of another number of vertices, which the lists do not fit.
    pub fn open_flame(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let flame = Flame::open(path)?;
        if flame.vertices() != FLAME_VERTICES {
            let what = format!(
                "has {} vertices; the lists of lips and upper face are those of the {FLAME_VERTICES} of FLAME",
                flame.vertices()
            );
            return Err(Error::face(path.display(), what).with_hint("name the published FLAME model"));
        }
        let list = |vertices: &[u16]| vertices.iter().map(|&vertex| u32::from(vertex)).collect();
        let face = Box::new(FlameFace::new(&flame, &[])?);
        Self::new(face, list(&LIP_VERTICES), list(&UPPER_FACE_VERTICES), "FLAME")
    }

    /// The face.
    pub fn face(&self) -> &dyn Face {
        self.face.as_ref()
    }

    /// The lists.
    pub fn lists(&self) -> VertexLists<'_> {
        VertexLists { lips: &self.lips, upper_face: &self.upper_face }
    }

    /// The name for reports.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for MeasuredFace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeasuredFace").field("name", &self.name).finish_non_exhaustive()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
