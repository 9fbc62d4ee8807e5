//! Pictures of faces: a software renderer, still and moving pictures, plots.

pub mod color;
pub mod export;
pub mod image;
pub mod picture;
pub mod plot;
pub mod raster;
pub mod text;
pub mod video;

pub use image::Image;
