//! Draws one face, frame after frame.

use rayon::prelude::*;
use unils::face::{Face, Mesh, Normals, Vec3, mesh};
use unils::{Error, Result};

use super::occlusion::Openness;
use super::setup::{Scene, Surface, TILE};
use super::shade::{Paint, Shader};
use super::shadow::DepthMap;
use super::texture::{self, Picture};
use super::tile::{self, Pixels};
use super::view::{Camera, head_points};
use super::{Background, RenderOptions, light};
use crate::color;
use crate::image::{Image, check_size};

/// Texels of a side of the key light's shadow map.
const SHADOW_SIZE: usize = 448;

/// Draws a face: made once, then used for every frame.
pub struct FaceRenderer<'a> {
    face: &'a dyn Face,
    options: RenderOptions,
    camera: Camera,
    normals: Normals,
    surface: Surface,
    paints: Vec<Paint>,
    textures: Vec<Picture>,
    shadow: DepthMap,
    /// sRGB behind each pixel; empty if transparent.
    backdrop: Vec<[u8; 4]>,
    positions: Vec<Vec3>,
    directions: Vec<Vec3>,
    scene: Scene,
    arch: pulp::Arch,
}

impl<'a> FaceRenderer<'a> {
    /// Prepares a face: measures its occlusion and frames it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size or view out of range, [`Error::Face`] for a mesh that is not sound or a
    /// texture that cannot be read.
    pub fn new(face: &'a dyn Face, options: &RenderOptions) -> Result<Self> {
        check_size(options.width, options.height)?;
        if !(options.exposure >= 0.0 && options.exposure <= 1e3) {
            let what = format!("{}: expected 0 to 1000", options.exposure);
            return Err(Error::argument("exposure", what));
        }
        let mesh = face.mesh();
        mesh.check("head")?;
        let camera = Camera::new(face, &options.view, options.width, options.height)?;
        let (center, radius) = lit_ball(face, &camera);
        let normals = Normals::new(mesh);
        let (textures, of_parts) = texture::decode_all(mesh)?;
        let clear = |texture: &Option<usize>| texture.is_some_and(|index| textures[index].see_through);
        let see_through: Vec<bool> = mesh
            .parts
            .iter()
            .zip(&of_parts)
            .map(|(part, texture)| part.material.color[3] < 1.0 || clear(texture))
            .collect();
        let openness = Openness::measure(face, &normals, casters(mesh, &see_through));
        let surface = Surface { colors: mesh.colors.clone(), openness, uvs: mesh.uvs.clone(), see_through };
        Ok(Self {
            face,
            options: options.clone(),
            camera,
            normals,
            surface,
            paints: Paint::of(mesh, &of_parts),
            textures,
            shadow: DepthMap::new(SHADOW_SIZE, light::KEY.direction, center, radius),
            backdrop: backdrop(options),
            positions: Vec::new(),
            directions: Vec::new(),
            scene: Scene::default(),
            arch: pulp::Arch::new(),
        })
    }

    /// Width and height of its pictures.
    pub fn size(&self) -> (usize, usize) {
        (self.options.width, self.options.height)
    }

    /// The face that it draws.
    pub fn face(&self) -> &'a dyn Face {
        self.face
    }

    /// Draws a frame of motion; `image` gets the renderer's size.
    ///
    /// # Errors
    /// [`Error::Motion`] for a frame of another width than the face's space or with numbers that are not finite.
    pub fn render(&mut self, frame: &[f32], image: &mut Image) -> Result<()> {
        image.resize(self.options.width, self.options.height)?;
        self.pose(frame)?;
        self.draw(image, 0);
        Ok(())
    }

    /// Moves the head and prepares everything that [`Self::draw`] reads.
    pub(super) fn pose(&mut self, frame: &[f32]) -> Result<()> {
        let width = self.face.space().width();
        if frame.len() != width || frame.iter().any(|value| !value.is_finite()) {
            let what = format!("{} numbers: expected {width} finite ones", frame.len());
            return Err(Error::motion("frame", what));
        }
        let mesh = self.face.mesh();
        self.face.pose(frame, &mut self.positions);
        let tiles = (self.options.width.div_ceil(TILE), self.options.height.div_ceil(TILE));
        let Self { camera, surface, positions, directions, normals, scene, shadow, .. } = self;
        let prepare = || {
            normals.compute(positions, directions);
            let mouth = surface.openness.mouth(mesh, frame, positions);
            scene.prepare(mesh, surface, camera, (positions, directions, mouth), tiles);
        };
        let casts = casters(mesh, &surface.see_through);
        rayon::join(prepare, || shadow.draw(positions.iter().map(|&point| camera.place(point)), casts));
        Ok(())
    }

    /// Draws the posed face into a picture of the renderer's height, from column `left` on.
    pub(super) fn draw(&self, image: &mut Image, left: usize) {
        let Self { options, scene, backdrop, .. } = self;
        let columns = options.width.div_ceil(TILE);
        let shader = Shader {
            paints: &self.paints,
            textures: &self.textures,
            shadow: &self.shadow,
            exposure: options.exposure,
            arch: self.arch,
        };
        let stride = image.width * 4;
        image.rgba.par_chunks_mut(stride * TILE).enumerate().for_each(|(row, band)| {
            let mut pixels: Pixels = [[0.0; 4]; TILE * TILE];
            for column in 0..columns {
                let origin = [column * TILE, row * TILE];
                tile::draw(scene, &shader, scene.bin(row * columns + column), origin, &mut pixels);
                finish(&pixels, (options.width, backdrop), origin, (band, stride, left));
            }
        });
    }
}

/// The ball in view space in which shadows are drawn: the head with room to turn and nod, and the neck below it.
fn lit_ball(face: &dyn Face, camera: &Camera) -> (Vec3, f32) {
    let [low, high] = mesh::bounds(head_points(face).map(|point| camera.place(point)));
    let size = mesh::length(mesh::sub(high, low));
    let center = mesh::scale(mesh::add(low, high), 0.5);
    (mesh::add(center, [0.0, -0.06 * size, 0.0]), (0.66 * size).max(1e-6))
}

/// The triangles that throw shadows.
fn casters<'m>(
    mesh: &'m Mesh,
    see_through: &'m [bool],
) -> impl Iterator<Item = [u32; 3]> + Clone + Send + Sync + 'm {
    let parts = mesh.parts.iter().zip(see_through).filter(|(_, see_through)| !**see_through);
    parts.flat_map(|(part, _)| {
        let both = part.material.double_sided;
        let sides = move |corners: [u32; 3]| {
            // Only what faces the light throws a shadow: a sheet needs its back too.
            let back = both.then_some([corners[0], corners[2], corners[1]]);
            std::iter::once(corners).chain(back)
        };
        mesh.triangles[part.triangles.clone()].iter().copied().flat_map(sides)
    })
}

/// What is behind the face, with a pattern below one step so that the gradient shows no bands.
fn backdrop(options: &RenderOptions) -> Vec<[u8; 4]> {
    let (width, height) = (options.width, options.height);
    match options.background {
        Background::Transparent => Vec::new(),
        Background::Color([r, g, b]) => vec![[r, g, b, 255]; width * height],
        Background::Studio { center, edge } => {
            let pixel = |x: usize, y: usize| {
                // Distance from a point above the middle, 1 in the farther corners.
                let across = (x as f32 + 0.5) / width as f32 * 2.0 - 1.0;
                let down = ((y as f32 + 0.5) / height as f32 - 0.42) / 0.58;
                let distance = ((across * across + down * down) * 0.5).sqrt().min(1.0);
                let share = distance * distance * (3.0 - 2.0 * distance);
                // Interleaved gradient noise (Jimenez 2014).
                let noise = (0.067_110_56 * x as f32 + 0.005_837_15 * y as f32).fract();
                let noise = (52.982_92 * noise).fract() - 0.5;
                let channel = |from: u8, to: u8| {
                    let (from, to) = (f32::from(from), f32::from(to));
                    (from + (to - from) * share + noise).round() as u8
                };
                let [r, g, b] = [0, 1, 2].map(|i| channel(center[i], edge[i]));
                [r, g, b, 255]
            };
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect()
        }
    }
}

/// Puts a tile's pixels over the background and into the picture's band of rows, from column `left` on.
fn finish(
    pixels: &Pixels,
    (width, backdrop): (usize, &[[u8; 4]]),
    origin: [usize; 2],
    (band, stride, left): (&mut [u8], usize, usize),
) {
    let tables = color::tables();
    let columns = TILE.min(width - origin[0]);
    let start = (left + origin[0]) * 4;
    for (line, (row, pixels)) in band.chunks_exact_mut(stride).zip(pixels.chunks_exact(TILE)).enumerate() {
        let behind = (origin[1] + line) * width + origin[0];
        let behind = backdrop.get(behind..behind + columns);
        let row = row[start..start + columns * 4].chunks_exact_mut(4);
        for (x, (out, &[r, g, b, alpha])) in row.zip(pixels).enumerate() {
            let alpha = alpha.min(1.0);
            match behind.map(|behind| behind[x]) {
                Some(behind) if alpha == 0.0 => out.copy_from_slice(&behind),
                Some(behind) => {
                    for (channel, value) in [r, g, b].into_iter().enumerate() {
                        out[channel] = tables.srgb(value + color::linear(behind[channel]) * (1.0 - alpha));
                    }
                    out[3] = 255;
                }
                None => {
                    let scale = if alpha > 0.0 { 1.0 / alpha } else { 0.0 };
                    for (channel, value) in [r, g, b].into_iter().enumerate() {
                        out[channel] = tables.srgb(value * scale);
                    }
                    out[3] = (alpha * 255.0 + 0.5) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use unils::face::{BlendshapeRig, Material, Part, Shape};

    use super::*;

    /// A sheet with waves, which has all angles to the lamps.
    fn waves() -> BlendshapeRig {
        let side = 40_u32;
        let mut mesh = Mesh::default();
        for index in 0..side * side {
            let (x, y) = ((index % side) as f32 / 39.0 - 0.5, (index / side) as f32 / 39.0 - 0.5);
            mesh.positions.push([x * 0.2, y * 0.2, (x * 30.0).sin() * (y * 21.0).cos() * 0.02]);
            mesh.colors.push([0.5 + x, 0.5 + y, 0.5]);
        }
        for index in 0..side * (side - 1) - 1 {
            if index % side + 1 < side {
                mesh.triangles.push([index, index + 1, index + side + 1]);
                mesh.triangles.push([index, index + side + 1, index + side]);
            }
        }
        let material =
            Material { color: [0.9, 0.7, 0.6, 0.8], softness: 0.7, roughness: 0.3, ..Material::default() };
        mesh.parts = vec![Part { name: "waves".into(), triangles: 0..mesh.triangles.len(), material }];
        let shape = Shape { name: "jawOpen".into(), vertices: vec![0], deltas: vec![[0.0, 0.0, 0.01]] };
        BlendshapeRig::new(mesh, vec![shape], [0.0; 3], Vec::new(), Vec::new(), "waves").unwrap()
    }

    #[test]
    fn bytes_do_not_depend_on_the_width_of_vectors() {
        let rig = waves();
        let options = RenderOptions { width: 150, height: 150, ..RenderOptions::default() };
        let mut renderer = FaceRenderer::new(&rig, &options).unwrap();
        let (mut widest, mut plain) = (Image::default(), Image::default());
        renderer.render(&[0.0; 55], &mut widest).unwrap();
        renderer.arch = pulp::Arch::Scalar;
        renderer.render(&[0.0; 55], &mut plain).unwrap();
        assert!(widest == plain);
    }
}
