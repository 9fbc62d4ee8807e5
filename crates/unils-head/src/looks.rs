//! Materials, and the two looks: other colours, and other proportions by a shape of their own.

use std::collections::BTreeMap;

use glam::{DMat3, DVec3, dvec3};
use unils::face::{Look, Material};

use crate::builder::{Body, Surface, Vertex};
use crate::hair::MIDDLE as HAIR_MIDDLE;
use crate::math::{hill_at, smoothstep};

/// The shape that gives the second look its proportions.
pub const PROPORTIONS: &str = "lookB";

/// All surfaces in the order of the parts.
pub const SURFACES: [Surface; 13] = [
    Surface::Skin,
    Surface::Mouth,
    Surface::Gums,
    Surface::Teeth,
    Surface::Tongue,
    Surface::Eyes,
    Surface::Iris,
    Surface::Glint,
    Surface::Lashes,
    Surface::Brows,
    Surface::Hair,
    Surface::Shirt,
    Surface::Collar,
];

struct Paint {
    name: &'static str,
    /// sRGB, as in a paint box: first and second look.
    colors: [[u8; 3]; 2],
    roughness: f32,
    softness: f32,
}

fn paint(surface: Surface) -> Paint {
    let of = |name, first: u32, second: u32, roughness, softness| {
        let rgb = |hex: u32| [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8];
        Paint { name, colors: [rgb(first), rgb(second)], roughness, softness }
    };
    match surface {
        Surface::Skin => of("skin", 0xEFB99C, 0x93614A, 0.52, 0.75),
        Surface::Mouth => of("mouth", 0xA84A48, 0x93403E, 0.45, 0.4),
        Surface::Gums => of("gums", 0xC4686A, 0xA9565A, 0.35, 0.4),
        Surface::Teeth => of("teeth", 0xFBF8F0, 0xFBF8F0, 0.25, 1.0),
        Surface::Tongue => of("tongue", 0xDB777C, 0xC9656A, 0.40, 1.0),
        Surface::Eyes => of("eyes", 0xF7F5F2, 0xF5F1EC, 0.12, 0.2),
        Surface::Iris => of("iris", 0x4E8C86, 0x7A4A22, 0.10, 0.1),
        Surface::Glint => of("glint", 0xFFFFFF, 0xFFFFFF, 0.5, 0.0),
        Surface::Lashes => of("lashes", 0x2A1A14, 0x140D0B, 0.6, 0.0),
        Surface::Brows => of("brows", 0x5A3523, 0x1F1411, 0.7, 0.1),
        Surface::Hair => of("hair", 0x7A4527, 0x2A1B18, 0.48, 0.15),
        Surface::Shirt => of("shirt", 0x2F8F8C, 0xD9A23E, 0.85, 0.15),
        Surface::Collar => of("collar", 0x267573, 0xB98632, 0.85, 0.15),
    }
}

fn linear(srgb: [u8; 3]) -> [f32; 4] {
    let [r, g, b] = srgb.map(|value| {
        let x = f32::from(value) / 255.0;
        if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
    });
    [r, g, b, 1.0]
}

/// The material of a surface in the first look.
pub fn material(surface: Surface) -> Material {
    let paint = paint(surface);
    Material {
        name: paint.name.to_owned(),
        color: linear(paint.colors[0]),
        roughness: paint.roughness,
        softness: paint.softness,
        ..Material::default()
    }
}

/// Both looks.
pub fn looks() -> Vec<Look> {
    let colors = |look: usize| -> BTreeMap<String, [f32; 4]> {
        let entry = |surface: Surface| (paint(surface).name.to_owned(), linear(paint(surface).colors[look]));
        SURFACES.into_iter().map(entry).collect()
    };
    vec![
        Look { name: "a".to_owned(), colors: colors(0), shapes: BTreeMap::new() },
        Look { name: "b".to_owned(), colors: colors(1), shapes: [(PROPORTIONS.to_owned(), 1.0)].into() },
    ]
}

/// How far the second look moves a vertex. Eyes and lids stay, so that they fit as before.
pub fn proportions(vertex: &Vertex) -> DVec3 {
    let p = vertex.at;
    if vertex.body == Body::Shirt {
        let shoulders = smoothstep(-14.0, -17.0, p.y);
        return dvec3(0.06 * p.x, 0.0, 0.03 * (p.z + 2.0)) * shoulders;
    }
    if vertex.body == Body::Hair {
        return swept_up(p);
    }
    if vertex.lid.is_some() || matches!(vertex.body, Body::Eye | Body::Glint | Body::Lash) {
        return DVec3::ZERO;
    }
    // A squarer jaw, a longer chin, a wider nose with a higher bridge.
    let jaw = smoothstep(-3.5, -7.5, p.y) * smoothstep(-13.5, -10.5, p.y);
    let chin = smoothstep(-6.8, -9.5, p.y) * smoothstep(1.5, 5.0, p.z) * smoothstep(-14.0, -11.0, p.y);
    let half = dvec3(p.x.abs(), p.y, p.z);
    let nose = hill_at(half, dvec3(0.8, -3.6, 8.4), dvec3(1.9, 2.2, 3.0));
    let bridge = hill_at(half, dvec3(0.0, -2.0, 8.6), dvec3(1.6, 3.0, 1.8));
    let sideways = 0.48 * (p.x / 3.0).clamp(-1.0, 1.0);
    dvec3(0.075 * p.x * jaw, -0.42 * chin, 0.12 * chin)
        + dvec3(sideways, -0.12, -0.05) * nose
        + dvec3(0.0, 0.0, 0.16) * bridge
}

/// Hair of more volume whose fringe is swept up from the forehead.
fn swept_up(p: DVec3) -> DVec3 {
    let offset = p - HAIR_MIDDLE;
    let fringe = smoothstep(1.0, 6.0, offset.z) * smoothstep(9.5, 4.5, offset.y);
    let turned = DMat3::from_rotation_x(-0.20 * fringe) * offset;
    let above = smoothstep(3.0, 9.0, turned.y);
    let volume =
        0.075 * above * (1.0 + 0.8 * smoothstep(0.0, 6.0, turned.z)) + 0.02 * smoothstep(-6.0, 0.0, turned.y);
    turned * (1.0 + volume) - offset
}
