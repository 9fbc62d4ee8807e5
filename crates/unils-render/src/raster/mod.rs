//! A software renderer for heads: no GPU, no display, the same bytes every time.
//!
//! Where the way of the data ends: a frame of motion moves a [`Face`](unils::face::Face), a [`FaceRenderer`] draws
//! it, and [`picture`](crate::picture) or [`video`](crate::video) writes it.
//!
//! The triangles of one frame are sorted into tiles; each tile finds the nearest triangle at eight samples a pixel
//! (coverage is exact integer arithmetic, so triangles that share an edge neither leave a gap nor overlap), and
//! only what is seen is lit, once a pixel and surface. Light is linear until the finished pixel: a key light with a
//! soft shadow map, a fill light, two rim lights and a sky, all fixed to the camera; ambient occlusion is measured
//! when the renderer is made. Inner loops are compiled for several vector widths, and the machine's widest is taken
//! (`pulp`).
//!
//! The bytes depend neither on the number of threads nor on timing. All that is done for a frame is addition,
//! multiplication, division and square roots, which every machine rounds alike; the posing of the head and the
//! camera use sines, which differ in the last bit between systems, and may then move a pixel by one step.
//!
//! Made here rather than taken: `euc` has the same idea, but shades every covered fragment on one thread and knows
//! neither samples nor transparent coverage, and renderers on top of `wgpu` need a driver.
//!
//! ```
//! use unils_render::Image;
//! use unils_render::raster::{FaceRenderer, RenderOptions};
//! # use unils::face::{BlendshapeRig, Mesh, Part, Shape, Material};
//! # let mesh = Mesh {
//! #     positions: vec![[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]],
//! #     triangles: vec![[0, 1, 2]],
//! #     parts: vec![Part { name: "face".into(), triangles: 0..1, material: Material::default() }],
//! #     ..Mesh::default()
//! # };
//! # let shape = Shape { name: "jawOpen".into(), vertices: vec![0], deltas: vec![[0.0, -0.01, 0.0]] };
//! # let rig = BlendshapeRig::new(mesh, vec![shape], [0.0; 3], vec![], vec![], "example")?;
//! let mut renderer = FaceRenderer::new(&rig, &RenderOptions::default())?;
//! let mut image = Image::default();
//! let neutral = [0.0; 55];
//! renderer.render(&neutral, &mut image)?;
//! assert_eq!((image.width, image.height), (512, 512));
//! # Ok::<(), unils::Error>(())
//! ```

mod light;
mod look;
mod occlusion;
mod renderer;
mod setup;
mod shade;
mod shadow;
mod stage;
mod texture;
mod tile;
mod view;

pub use look::{frame_of, look};
pub use renderer::FaceRenderer;
pub use stage::Stage;
pub use view::{Focus, View};

/// How a face is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderOptions {
    /// Pixels across, for each face.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// What is behind the face.
    pub background: Background,
    /// Where the camera stands.
    pub view: View,
    /// Multiplies all light.
    pub exposure: f32,
}

impl Default for RenderOptions {
    fn default() -> Self {
        let (background, view) = (Background::default(), View::default());
        Self { width: 512, height: 512, background, view, exposure: 1.0 }
    }
}

/// What is behind the face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// One sRGB colour.
    Color([u8; 3]),
    /// A lit wall: one sRGB colour behind the head, fading into another at the corners.
    Studio {
        /// Behind the head.
        center: [u8; 3],
        /// In the corners.
        edge: [u8; 3],
    },
    /// Nothing: alpha is how much of the pixel the face covers.
    Transparent,
}

impl Default for Background {
    fn default() -> Self {
        Self::Studio { center: [74, 80, 92], edge: [22, 24, 30] }
    }
}
