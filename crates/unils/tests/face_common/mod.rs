//! A small head with everything that a file must keep: parts that share vertices, colours, textures, shoulders,
//! eyes, shapes of ARKit's and its own, regions, looks.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it")]

use std::io::Write;

use unils::face::{BlendshapeRig, Eye, Head, Look, Material, Mesh, Part, Shape, Texture, Vec3};
use unils::motion::{FPS, Motion, MotionMeta, Space};

/// Vertices a side of the head's grid.
const SIDE: u32 = 12;

/// The head, with shoulders and eyes or without.
pub fn small_head(has_torso: bool, has_eyes: bool) -> Head {
    let mesh = small_mesh();
    let positions = &mesh.positions;
    let at = |vertex: u32| positions[vertex as usize];
    let shape = |name: &str, moves: &dyn Fn(Vec3) -> Option<Vec3>| {
        let moved = (0..SIDE * SIDE).filter_map(|vertex| Some((vertex, moves(at(vertex))?)));
        let (vertices, deltas) = moved.unzip();
        Shape { name: name.to_owned(), vertices, deltas }
    };
    let all = Space::Arkit55.channels()[..52]
        .iter()
        .enumerate()
        .filter(|(_, channel)| !channel.name.starts_with("eyeLook") || !has_eyes);
    let mut shapes: Vec<Shape> = all
        .map(|(index, channel)| {
            let row = index as f32 / 52.0;
            shape(channel.name, &|[x, y, _]| {
                let near = (y / 0.2 + 0.5 - row).abs() < 0.2;
                near.then_some([0.01 * (row - x), -0.02 * row, 0.005 + 0.01 * y])
            })
        })
        .collect();
    shapes.push(shape("wide", &|[x, ..]| Some([0.2 * x, 0.0, 0.0])));
    shapes.push(Shape { name: "nothing".to_owned(), vertices: vec![], deltas: vec![] });
    let count = mesh.positions.len();
    let weight = |vertex: usize| (positions[vertex][1] * 8.0 + 0.7).clamp(0.0, 1.0);
    let weights = if has_torso { (0..count).map(weight).collect() } else { vec![] };
    let eye = |is_left, first: u32, x| Eye {
        is_left,
        center: [x, 0.05, 0.08],
        vertices: (first..first + 4).collect(),
    };
    let eyes = if has_eyes { vec![eye(true, 144, 0.03), eye(false, 148, -0.03)] } else { vec![] };
    let rig = BlendshapeRig::new(mesh, shapes, [0.0, -0.02, -0.03], weights, eyes, "small").unwrap();
    let look = |name: &str, wide| Look {
        name: name.to_owned(),
        colors: [("skin".to_owned(), [0.3, 0.2, 0.1, 1.0])].into(),
        shapes: [("wide".to_owned(), wide)].into(),
    };
    Head::new("small", rig).with_looks(vec![look("a", 0.1), look("b", -0.3)]).unwrap()
}

/// A bulging grid in two parts with a common row of vertices, and two tetrahedra for eyes.
fn small_mesh() -> Mesh {
    let mut mesh = Mesh::default();
    for index in 0..SIDE * SIDE {
        let (x, y) = ((index % SIDE) as f32 / 11.0 - 0.5, (index / SIDE) as f32 / 11.0 - 0.5);
        mesh.positions.push([0.15 * x, 0.2 * y, 0.1 - 0.2 * (x * x + y * y)]);
    }
    for row in 0..SIDE - 1 {
        for column in 0..SIDE - 1 {
            let a = row * SIDE + column;
            mesh.triangles.push([a, a + 1, a + SIDE]);
            mesh.triangles.push([a + 1, a + SIDE + 1, a + SIDE]);
        }
    }
    let (middle, grid) = (5 * 2 * 11, mesh.triangles.len());
    for x in [0.03, -0.03] {
        let first = mesh.positions.len() as u32;
        for [dx, dy, dz] in [[0.0, 0.0, 0.01], [0.01, -0.01, 0.0], [-0.01, -0.01, 0.0], [0.0, 0.01, 0.0]] {
            mesh.positions.push([x + dx, 0.05 + dy, 0.08 + dz]);
        }
        for corners in [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]] {
            mesh.triangles.push(corners.map(|corner| first + corner));
        }
    }
    let count = mesh.positions.len();
    mesh.colors = (0..count).map(|index| [index as f32 / count as f32, 0.5, 1.0]).collect();
    mesh.uvs = mesh.positions.iter().map(|[x, y, _]| [x + 0.5, 0.5 - y]).collect();
    let skin = Material {
        name: "skin".to_owned(),
        color: [0.7, 0.5, 0.4, 1.0],
        softness: 0.3,
        texture: Some(Texture { mime: "image/png".to_owned(), bytes: small_png([200, 150, 120]) }),
        ..Material::default()
    };
    let eye = Material {
        name: "eye".to_owned(),
        color: [0.9, 0.9, 0.9, 0.5],
        double_sided: true,
        ..Material::default()
    };
    let part = |name: &str, triangles, material: &Material| Part {
        name: name.to_owned(),
        triangles,
        material: material.clone(),
    };
    mesh.parts = vec![
        part("chin", 0..middle, &skin),
        part("brow", middle..grid, &skin),
        part("eye_left", grid..grid + 4, &eye),
        part("eye_right", grid + 4..grid + 8, &eye),
    ];
    mesh.regions =
        [("lips".to_owned(), vec![30, 31, 32, 42]), ("upper_face".to_owned(), vec![90, 99])].into();
    mesh
}

/// A picture of one pixel.
pub fn small_png(rgb: [u8; 3]) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        png.extend((data.len() as u32).to_be_bytes());
        let body = [kind.as_slice(), data].concat();
        png.extend(&body);
        png.extend(crc32fast::hash(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
    let row = [0, rgb[0], rgb[1], rgb[2]];
    // One stored block of deflate in zlib's frame.
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in row {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    let zlib = [&[0x78, 0x01, 1, 4, 0, 0xfb, 0xff][..], &row, &(b << 16 | a).to_be_bytes()].concat();
    chunk(b"IDAT", &zlib);
    chunk(b"IEND", &[]);
    png
}

/// Some seconds of lively motion.
pub fn small_motion(participants: usize, frames: usize) -> Motion {
    let value = |participant: usize, frame: usize, channel: usize| {
        let phase = 0.1 * frame as f32 + channel as f32 + 2.0 * participant as f32;
        if channel < 52 { 0.5 + 0.5 * phase.sin() } else { 0.4 * phase.sin() }
    };
    let values = (0..participants)
        .flat_map(|p| (0..frames).flat_map(move |f| (0..55).map(move |c| value(p, f, c))))
        .collect();
    Motion::new(Space::Arkit55, FPS, participants, values, MotionMeta::new()).unwrap()
}

/// Says that a check did not happen, where nobody overlooks it.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {what}\n");
}
