//! What light makes of the surfaces seen: many fragments at a time, so that the arithmetic runs in vectors.

use std::f32::consts::PI;

use unils::face::{Mesh, Part, Vec3};

use super::light::{BLEED, FILL, GROUND, KEY, LEAST_OPEN, Lamp, RIMS, SKY, tone};
use super::setup::{STEPS, Scene, VALUES, Vertex};
use super::shadow::DepthMap;
use super::texture::Picture;
use super::tile::Pixels;

/// Fragments lit at once.
const BATCH: usize = 64;

/// One number of each fragment.
type Lane = [f32; BATCH];

/// Surfaces seen in a pixel, waiting for light.
pub(super) struct Fragments {
    count: usize,
    pixel: [u16; BATCH],
    weight: Lane,
    piece: [u32; BATCH],
    /// Where on the picture, pixels.
    point: [[f32; 2]; BATCH],
    lanes: Lanes,
}

/// What lighting needs to know of each fragment.
struct Lanes {
    normal: [Lane; 3],
    position: [Lane; 3],
    color: [Lane; 3],
    opacity: Lane,
    openness: Lane,
    /// How far the surface faces the key light.
    facing: Lane,
    /// Share of the key light that arrives.
    shadow: Lane,
    roughness: Lane,
    softness: Lane,
    metallic: Lane,
}

impl Default for Fragments {
    fn default() -> Self {
        let (zero, one) = ([0.0; BATCH], [1.0; BATCH]);
        let lanes = Lanes {
            normal: [zero, zero, one],
            position: [zero, zero, [-1.0; BATCH]],
            color: [zero; 3],
            opacity: zero,
            openness: zero,
            facing: zero,
            shadow: zero,
            roughness: one,
            softness: zero,
            metallic: zero,
        };
        let (pixel, piece, point) = ([0; BATCH], [0; BATCH], [[0.0; 2]; BATCH]);
        Self { count: 0, pixel, weight: zero, piece, point, lanes }
    }
}

/// A part's material, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Paint {
    pub color: [f32; 4],
    pub roughness: f32,
    pub metallic: f32,
    pub softness: f32,
    /// Which of the textures it has.
    pub texture: Option<usize>,
}

impl Paint {
    /// The materials of the parts; `textures` says which picture each has.
    pub(super) fn of(mesh: &Mesh, textures: &[Option<usize>]) -> Vec<Self> {
        let sane = |value: f32, least: f32| if value >= least { value.min(1.0) } else { least };
        let paint = |(part, &texture): (&Part, &Option<usize>)| {
            let material = &part.material;
            Self {
                color: material.color.map(|value| sane(value, 0.0)),
                // Below this a lamp's reflection is smaller than a sample.
                roughness: sane(material.roughness, 0.12),
                metallic: sane(material.metallic, 0.0),
                softness: sane(material.softness, 0.0),
                texture,
            }
        };
        mesh.parts.iter().zip(textures).map(paint).collect()
    }
}

/// What lights the fragments of a frame.
pub(super) struct Shader<'a> {
    pub paints: &'a [Paint],
    pub textures: &'a [Picture],
    pub shadow: &'a DepthMap,
    pub exposure: f32,
    pub arch: pulp::Arch,
}

impl Fragments {
    pub(super) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Adds what a piece shows at a point of the picture.
    #[inline]
    pub(super) fn push(&mut self, piece: u32, point: [f32; 2], pixel: usize, weight: f32) {
        let at = self.count;
        self.piece[at] = piece;
        self.point[at] = point;
        self.pixel[at] = pixel as u16;
        self.weight[at] = weight;
        self.count += 1;
    }
}

impl Lanes {
    /// Interpolates what the corners of a fragment's piece say.
    #[inline(always)]
    fn load(&mut self, scene: &Scene, shader: &Shader, at: usize, piece: u32, point: [f32; 2]) {
        let piece = &scene.pieces[piece as usize];
        let [a, b, c] = piece.corners.map(|vertex| &scene.vertices[vertex as usize]);
        let steps = STEPS as f32;
        let side = |other: [i32; 2]| [0, 1].map(|i| (other[i] - a.screen[i]) as f32 / steps);
        let (ab, ac) = (side(b.screen), side(c.screen));
        let ap = [0, 1].map(|i| point[i] - a.screen[i] as f32 / steps);
        let scale = 1.0 / (ab[0] * ac[1] - ac[0] * ab[1]);
        // Shares of the corners on the picture, then on the surface.
        let sb = below(above((ap[0] * ac[1] - ac[0] * ap[1]) * scale, 0.0), 1.0);
        let sc = below(above((ab[0] * ap[1] - ap[0] * ab[1]) * scale, 0.0), 1.0 - sb);
        let [wa, wb, wc] = [(1.0 - sb - sc) * a.nearness, sb * b.nearness, sc * c.nearness];
        let sum = 1.0 / (wa + wb + wc);
        let [wa, wb, wc] = [wa * sum, wb * sum, wc * sum];
        let values: [f32; VALUES] =
            std::array::from_fn(|i| a.values[i] * wa + b.values[i] * wb + c.values[i] * wc);
        let [x, y, z, nx, ny, nz, red, green, blue, openness, u, v] = values;
        let paint = &shader.paints[piece.part as usize];
        let mut color = [red * paint.color[0], green * paint.color[1], blue * paint.color[2]];
        let mut opacity = paint.color[3];
        if let Some(picture) = paint.texture.and_then(|index| shader.textures.get(index)) {
            let uv = |corner: &Vertex| [corner.values[VALUES - 2], corner.values[VALUES - 1]];
            let side = |other: &Vertex| [0, 1].map(|i| uv(other)[i] - uv(a)[i]);
            let (ab, ac) = (side(b), side(c));
            let texel = picture.sample([u, v], (ab[0] * ac[1] - ac[0] * ab[1]).abs() * scale.abs());
            color = std::array::from_fn(|i| color[i] * texel[i]);
            opacity *= texel[3];
        }
        let normal = [nx * piece.facing, ny * piece.facing, nz * piece.facing];
        for (axis, (position, normal)) in [x, y, z].into_iter().zip(normal).enumerate() {
            self.position[axis][at] = position;
            self.normal[axis][at] = normal;
            self.color[axis][at] = color[axis];
        }
        self.opacity[at] = opacity;
        self.openness[at] = openness;
        self.roughness[at] = paint.roughness;
        self.softness[at] = paint.softness;
        self.metallic[at] = paint.metallic;
    }

    /// Makes the normals unit vectors and notes how far they face the key light.
    #[inline(always)]
    fn turn(&mut self) {
        for i in 0..BATCH {
            let normal = [self.normal[0][i], self.normal[1][i], self.normal[2][i]];
            let scale = 1.0 / (dot(normal, normal) + 1e-30).sqrt();
            let normal = [normal[0] * scale, normal[1] * scale, normal[2] * scale];
            for (lane, value) in self.normal.iter_mut().zip(normal) {
                lane[i] = value;
            }
            self.facing[i] = dot(normal, KEY.direction);
        }
    }

    /// Looks up what share of the key light arrives.
    #[inline(always)]
    fn shade(&mut self, map: &DepthMap, count: usize) {
        for i in 0..count {
            let (facing, softness) = (self.facing[i], self.softness[i]);
            // Turned away beyond all bleeding: dark whatever stands between.
            if facing < -BLEED[0] * softness {
                self.shadow[i] = 0.0;
                continue;
            }
            // Away from the surface, so that it does not shadow itself, the more the flatter light meets it.
            let away = map.texel() * (0.8 + 2.4 * (1.0 - above(facing, 0.0)));
            let point: Vec3 =
                std::array::from_fn(|axis| self.position[axis][i] + self.normal[axis][i] * away);
            let light = map.light_at(point, 0.8);
            // Beyond the terminator a soft surface is lit through itself: no shadow map knows how far.
            let through = below(above(0.6 - 4.0 * facing, 0.0), 1.0) * softness;
            self.shadow[i] = light + (1.0 - light) * through;
        }
    }
}

impl Shader<'_> {
    /// Lights the fragments, adds them to their pixels and forgets them.
    pub(super) fn light(&self, scene: &Scene, fragments: &mut Fragments, pixels: &mut Pixels) {
        let mut result = [[0.0; BATCH]; 3];
        // The widest vectors of the machine; the arithmetic, and so the result, is the same in all of them.
        self.arch.dispatch(LightAll { shader: self, scene, fragments, result: &mut result });
        for at in 0..fragments.count {
            let share = fragments.weight[at] * fragments.lanes.opacity[at];
            let pixel = &mut pixels[fragments.pixel[at] as usize];
            for channel in 0..3 {
                pixel[channel] += result[channel][at] * share;
            }
            pixel[3] += share;
        }
        fragments.count = 0;
    }
}

/// `max` without the rules for NaN, which keep it out of vectors.
#[inline(always)]
fn above(value: f32, least: f32) -> f32 {
    if value > least { value } else { least }
}

#[inline(always)]
fn below(value: f32, most: f32) -> f32 {
    if value < most { value } else { most }
}

#[inline(always)]
fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// What a lamp's reflection needs of a fragment.
#[derive(Clone, Copy)]
struct Gloss {
    normal: Vec3,
    eye: Vec3,
    facing_eye: f32,
    /// Roughness to the fourth.
    alpha2: f32,
}

/// GGX reflection of a lamp without the Fresnel term, times the lamp's cosine; and (1 - h.v)^5.
#[inline(always)]
fn reflect(gloss: &Gloss, lamp: &Lamp, facing: f32) -> (f32, f32) {
    let half = [
        gloss.eye[0] + lamp.direction[0],
        gloss.eye[1] + lamp.direction[1],
        gloss.eye[2] + lamp.direction[2],
    ];
    let scale = 1.0 / (dot(half, half) + 1e-12).sqrt();
    let normal_half = above(dot(gloss.normal, half) * scale, 0.0);
    let eye_half = below(above(dot(gloss.eye, half) * scale, 0.0), 1.0);
    let spread = normal_half * normal_half * (gloss.alpha2 - 1.0) + 1.0;
    let distribution = gloss.alpha2 / (spread * spread * PI);
    // Smith's visibility in Hammon's approximation: 0.5 / mix(2 l v, l + v, alpha).
    let alpha = gloss.alpha2.sqrt();
    let (l, v) = (above(facing, 0.0), gloss.facing_eye);
    let product = 2.0 * l * v;
    let visibility = 0.5 / (product + (l + v - product) * alpha + 1e-4);
    let grazing = 1.0 - eye_half;
    let grazing2 = grazing * grazing;
    (distribution * visibility * l, grazing2 * grazing2 * grazing)
}

/// The lighting of fragments, as a task that is compiled for several vector widths.
struct LightAll<'a> {
    shader: &'a Shader<'a>,
    scene: &'a Scene,
    fragments: &'a mut Fragments,
    result: &'a mut [Lane; 3],
}

impl pulp::NullaryFnOnce for LightAll<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Fragments { count, piece, point, lanes, .. } = self.fragments;
        for at in 0..*count {
            lanes.load(self.scene, self.shader, at, piece[at], point[at]);
        }
        lanes.turn();
        lanes.shade(self.shader.shadow, *count);
        light_all(lanes, self.shader.exposure, self.result);
    }
}

#[allow(clippy::needless_range_loop, reason = "one index into many arrays is what becomes vectors")]
#[inline(always)]
fn light_all(f: &Lanes, exposure: f32, result: &mut [Lane; 3]) {
    for i in 0..BATCH {
        let normal = [f.normal[0][i], f.normal[1][i], f.normal[2][i]];
        let position = [f.position[0][i], f.position[1][i], f.position[2][i]];
        let scale = -1.0 / (dot(position, position) + 1e-12).sqrt();
        let eye = [position[0] * scale, position[1] * scale, position[2] * scale];
        let facing_eye = below(above(dot(normal, eye), 1e-3), 1.0);
        let rough = f.roughness[i] * f.roughness[i];
        let gloss = Gloss { normal, eye, facing_eye, alpha2: rough * rough };
        let open = LEAST_OPEN + (1.0 - LEAST_OPEN) * f.openness[i];
        // Light that comes from a side is hidden about half as much as the sky.
        let half_open = 0.35 + 0.65 * f.openness[i];
        let up = 0.5 + 0.5 * normal[1];

        let key = f.facing[i];
        let fill = dot(normal, FILL.direction);
        let rims = [dot(normal, RIMS[0].direction), dot(normal, RIMS[1].direction)];
        // Rims grow towards the outline, however the surface is lit.
        let edge = 1.0 - facing_eye;
        let rim_share = (0.15 + 0.85 * edge * edge) * half_open;

        let (key_gloss, key_grazing) = reflect(&gloss, &KEY, key);
        let (fill_gloss, fill_grazing) = reflect(&gloss, &FILL, fill);
        let (rim0_gloss, rim0_grazing) = reflect(&gloss, &RIMS[0], rims[0]);
        let (rim1_gloss, rim1_grazing) = reflect(&gloss, &RIMS[1], rims[1]);
        let edge5 = edge * edge * edge * edge * edge;
        let shine = (1.0 - f.roughness[i]) * (1.0 - f.roughness[i]);

        for channel in 0..3 {
            let albedo = f.color[channel][i];
            let base = 0.04 + (albedo - 0.04) * f.metallic[i];
            let reach = BLEED[channel] * f.softness[i];
            let wrap = |facing: f32| {
                let value = above((facing + reach) / (1.0 + reach), 0.0);
                // Rounds the terminator off where light bleeds.
                value * (1.0 - f.softness[i] + f.softness[i] * value) * (1.0 + 0.25 * f.softness[i])
            };
            // In the shadow's edge the colours that bleed farther reach in deeper.
            let shadow = f.shadow[i];
            let shadow = shadow + (1.0 - shadow) * shadow * reach * 1.6;
            let sky = GROUND[channel] + (SKY[channel] - GROUND[channel]) * up;
            let diffuse = KEY.color[channel] * wrap(key) * shadow
                + FILL.color[channel] * wrap(fill) * half_open
                + (RIMS[0].color[channel] * wrap(rims[0]) + RIMS[1].color[channel] * wrap(rims[1]))
                    * rim_share
                + sky * open;
            let fresnel = |grazing: f32| base + (1.0 - base) * grazing;
            let specular = KEY.color[channel] * key_gloss * fresnel(key_grazing) * shadow
                + FILL.color[channel] * fill_gloss * fresnel(fill_grazing) * half_open
                + RIMS[0].color[channel] * rim0_gloss * fresnel(rim0_grazing) * rim_share
                + RIMS[1].color[channel] * rim1_gloss * fresnel(rim1_grazing) * rim_share
                + sky * open * (base + (1.0 - base) * edge5 * shine);
            // A diffuse surface sends back 1/pi of what a lamp of this unit gives; the lamps' colours include it.
            let light = (diffuse * albedo * (1.0 - f.metallic[i]) * 0.62 + specular) * exposure;
            let toned = tone(light);
            result[channel][i] = below(toned, 1.0);
        }
    }
}
