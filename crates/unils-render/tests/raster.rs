//! The renderer against pictures that are known: from geometry, or looked at once and kept.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::PathBuf;

use common::{Still, ball_head};
use unils::face::{Face, Material, Texture, Vec3};
use unils_render::Image;
use unils_render::raster::{Background, FaceRenderer, Focus, RenderOptions, Stage, View, frame_of, look};

const NEUTRAL: [f32; 55] = [0.0; 55];

/// A square picture that shows one metre of the plane z = 0.
fn flat_view(side: usize) -> RenderOptions {
    let view = View { focus: Focus::Point { center: [0.0; 3], height: 1.0 }, ..View::default() };
    RenderOptions { width: side, height: side, background: Background::Transparent, view, exposure: 0.0 }
}

fn plain(color: [f32; 4]) -> Material {
    Material { color, ..Material::default() }
}

fn draw(face: &dyn Face, options: &RenderOptions) -> Image {
    look(face, &[], options).unwrap()
}

fn square(half: f32, z: f32) -> [Vec3; 4] {
    [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]
}

#[test]
fn half_a_picture_is_half_covered() {
    let corners = [[-2.0, -2.0, 0.0], [2.0, -2.0, 0.0], [2.0, 2.0, 0.0]];
    let image = draw(&Still::new(&[(&corners, plain([1.0; 4]))]), &flat_view(64));
    let mut sum = 0.0;
    for y in 0..64 {
        for x in 0..64 {
            let alpha = image.pixel(x, y)[3];
            // The diagonal runs through the pixels (i, 63 - i).
            match (x + y).cmp(&63) {
                std::cmp::Ordering::Less => assert_eq!(alpha, 0, "({x}, {y})"),
                std::cmp::Ordering::Equal => assert!((96..=160).contains(&alpha), "({x}, {y}): {alpha}"),
                std::cmp::Ordering::Greater => assert_eq!(alpha, 255, "({x}, {y})"),
            }
            sum += f64::from(alpha) / 255.0;
        }
    }
    // One of the eight samples of each of those pixels is on the very diagonal, and taken.
    assert!((sum / 4096.0 - 0.5).abs() < 1.0 / 8.0 / 64.0 + 2e-5, "{sum}");
}

#[test]
fn an_upright_edge_covers_by_its_place() {
    for eighths in 0..=8 {
        let right = (32.0 + eighths as f32 / 8.0) / 64.0 - 0.5;
        let corners = [[-1.0, -1.0, 0.0], [right, -1.0, 0.0], [right, 1.0, 0.0], [-1.0, 1.0, 0.0]];
        let image = draw(&Still::new(&[(&corners, plain([1.0; 4]))]), &flat_view(64));
        let alpha = f32::from(image.pixel(32, 20)[3]) / 255.0;
        // One sample in each eighth of the pixel's width: an edge between two eighths covers exactly those.
        assert!((alpha - eighths as f32 / 8.0).abs() < 0.13, "{eighths}: {alpha}");
        assert_eq!([image.pixel(31, 20)[3], image.pixel(33, 20)[3]], [255, 0]);
    }
}

#[test]
fn triangles_that_share_edges_leave_no_gap() {
    // A fan around a point that is on no pixel's middle, with slivers.
    let mut corners: Vec<Vec3> = vec![[0.013_7, -0.021_3, 0.0]];
    for step in 0..=200 {
        let angle = step as f32 / 200.0 * std::f32::consts::TAU;
        corners.push([angle.cos() * 2.0, angle.sin() * 2.0, 0.0]);
    }
    let image = draw(&Still::new(&[(&corners, plain([1.0; 4]))]), &flat_view(100));
    assert!(image.rgba.chunks(4).all(|pixel| pixel[3] == 255));
}

#[test]
fn the_nearer_surface_is_seen_whatever_the_order() {
    let (red, blue) = (plain([0.8, 0.0, 0.0, 1.0]), plain([0.0, 0.0, 0.8, 1.0]));
    let (near, far) = (square(0.2, 0.1), square(0.4, 0.0));
    let options = RenderOptions { exposure: 1.0, ..flat_view(64) };
    let one = draw(&Still::new(&[(&near, red.clone()), (&far, blue.clone())]), &options);
    let two = draw(&Still::new(&[(&far, blue.clone()), (&near, red.clone())]), &options);
    assert_eq!(one, two);
    let ([r, _, b, _], [r2, _, b2, _]) = (one.pixel(32, 32), one.pixel(10, 32));
    assert!(r > 3 * b && b2 > 3 * r2, "{:?} {:?}", one.pixel(32, 32), one.pixel(10, 32));
    // Two squares that cross along the upright middle line.
    let slope = |sign: f32| {
        [[-0.4, -0.4, -0.1 * sign], [0.4, -0.4, 0.1 * sign], [0.4, 0.4, 0.1 * sign], [-0.4, 0.4, -0.1 * sign]]
    };
    let crossed = draw(&Still::new(&[(&slope(1.0), red), (&slope(-1.0), blue)]), &options);
    assert!(crossed.pixel(45, 32)[0] > 100 && crossed.pixel(45, 32)[2] < 90, "{:?}", crossed.pixel(45, 32));
    assert!(crossed.pixel(18, 32)[2] > 100 && crossed.pixel(18, 32)[0] < 90, "{:?}", crossed.pixel(18, 32));
}

/// A PNG of one row whose opacity grows from left to right.
fn ramp() -> Texture {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 256, 1);
    encoder.set_color(png::ColorType::Rgba);
    let row: Vec<u8> = (0..=255).flat_map(|value| [255, 255, 255, value]).collect();
    encoder.write_header().unwrap().write_image_data(&row).unwrap();
    Texture { mime: "image/png".into(), bytes }
}

#[test]
fn textures_follow_the_perspective() {
    // A square turned by 60 degrees about the upright axis, its texture an opacity that grows to the right.
    let (sine, cosine) = (60.0_f32.to_radians().sin(), 60.0_f32.to_radians().cos());
    let half = 0.4;
    let turned = |x: f32, y: f32| [x * cosine, y, -x * sine];
    let corners = [turned(-half, -half), turned(half, -half), turned(half, half), turned(-half, half)];
    let mut face = Still::new(&[(&corners, Material { texture: Some(ramp()), ..plain([1.0; 4]) })]);
    face.0.uvs = vec![[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]];
    let options = flat_view(128);
    let image = draw(&face, &options);
    // One metre is seen at the focus, `distance` away.
    let distance = 0.5 / (options.view.field / 2.0).tan();
    let mut seen = 0;
    for x in 0..128 {
        let slope = ((x as f32 + 0.5) / 128.0 - 0.5) / distance;
        // Where the ray meets the square: s cos = slope (distance + s sin).
        let s = slope * distance / (cosine - slope * sine);
        if s.abs() < half * 0.95 {
            let expected = ((s / (2.0 * half) + 0.5) * 256.0 - 0.5) / 255.0;
            let found = f32::from(image.pixel(x, 64)[3]) / 255.0;
            assert!((expected - found).abs() < 0.012, "column {x}: {found}, expected {expected}");
            seen += 1;
        }
    }
    assert!(seen > 40);
    // A straight line between the ends would be far off.
    let linear = 0.5;
    let found = f32::from(image.pixel(64, 64)[3]) / 255.0;
    let ends: Vec<usize> = (0..128).filter(|&x| image.pixel(x, 64)[3] > 0).collect();
    let place = (64.5 - ends[0] as f32) / (ends[ends.len() - 1] - ends[0]) as f32;
    assert!((found - linear).abs() < 0.02 && (place - linear).abs() > 0.05, "{found} at {place}");
}

#[test]
fn blending_is_linear_and_backgrounds_are_exact() {
    // Black at half opacity over white is half the light: 188 in sRGB, not 128.
    let shade = Still::new(&[(&square(0.3, 0.0), plain([0.0, 0.0, 0.0, 0.5]))]);
    let white = RenderOptions { background: Background::Color([255; 3]), ..flat_view(32) };
    let image = draw(&shade, &white);
    assert_eq!(image.pixel(16, 16), [188, 188, 188, 255]);
    for grey in [0, 1, 7, 118, 128, 200, 255] {
        let options = RenderOptions { background: Background::Color([grey, 255 - grey, 3]), ..flat_view(32) };
        assert_eq!(draw(&shade, &options).pixel(0, 0), [grey, 255 - grey, 3, 255]);
    }
    // Straight alpha: half opacity, and the colour not darkened by it.
    let red = Still::new(&[(&square(0.3, 0.0), plain([0.9, 0.1, 0.1, 0.5]))]);
    let solid = Still::new(&[(&square(0.3, 0.0), plain([0.9, 0.1, 0.1, 1.0]))]);
    let options = RenderOptions { exposure: 1.0, ..flat_view(32) };
    let (half, full) = (draw(&red, &options).pixel(16, 16), draw(&solid, &options).pixel(16, 16));
    assert_eq!([half[3], full[3]], [128, 255]);
    assert!(half[..3].iter().zip(&full[..3]).all(|(a, b)| a.abs_diff(*b) <= 1), "{half:?} {full:?}");
    assert_eq!(draw(&red, &options).pixel(0, 0), [0; 4]);
}

#[test]
fn what_is_behind_shines_through_in_order() {
    let clear = |color: [f32; 3]| plain([color[0], color[1], color[2], 0.5]);
    let layers: [([Vec3; 4], Material); 3] = [
        (square(0.3, 0.2), clear([0.0; 3])),
        (square(0.3, 0.1), clear([0.0; 3])),
        (square(0.3, 0.0), plain([0.0, 0.0, 0.0, 1.0])),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let polygons: Vec<(&[Vec3], Material)> =
            order.iter().map(|&i| (&layers[i].0[..], layers[i].1.clone())).collect();
        let options = flat_view(32);
        assert_eq!(draw(&Still::new(&polygons), &options).pixel(16, 16)[3], 255);
        let without: Vec<_> = polygons.into_iter().filter(|p| p.1.color[3] < 1.0).collect();
        // Two layers of a half leave a quarter.
        assert_eq!(draw(&Still::new(&without), &options).pixel(16, 16)[3], 191);
    }
    // Behind something opaque nothing shines through.
    let wall = (&square(0.4, 0.3)[..], plain([0.0, 0.0, 0.0, 1.0]));
    let hidden = (&square(0.3, 0.0)[..], clear([1.0; 3]));
    let alone = Still::new(std::slice::from_ref(&wall));
    assert_eq!(draw(&Still::new(&[hidden, wall]), &flat_view(32)), draw(&alone, &flat_view(32)));
}

#[test]
fn backs_are_seen_only_of_double_sided_parts() {
    let mut back = square(0.3, 0.0);
    back.reverse();
    let image = draw(&Still::new(&[(&back, plain([1.0; 4]))]), &flat_view(32));
    assert!(image.rgba.iter().all(|&value| value == 0));
    let both = Material { double_sided: true, ..plain([1.0; 4]) };
    let options = RenderOptions { exposure: 1.0, ..flat_view(32) };
    let seen = draw(&Still::new(&[(&back, both.clone())]), &options);
    let front = draw(&Still::new(&[(&square(0.3, 0.0), both)]), &options);
    assert_eq!(seen.pixel(16, 16)[3], 255);
    // Lit as if it faced us.
    assert!(seen.pixel(16, 16)[1].abs_diff(front.pixel(16, 16)[1]) < 12);
}

#[test]
fn what_passes_the_camera_is_cut() {
    // A floor from far in front of the camera to far behind it, seen from 0.2 m above.
    let floor = [[-50.0, -0.2, 50.0], [50.0, -0.2, 50.0], [50.0, -0.2, -5e3], [-50.0, -0.2, -5e3]];
    let image = draw(&Still::new(&[(&floor, plain([1.0; 4]))]), &flat_view(64));
    for y in 0..64 {
        let expected = if y < 32 { 0 } else { 255 };
        // The horizon itself is a little below the middle.
        assert!(y == 32 || image.pixel(32, y)[3] == expected, "row {y}: {:?}", image.pixel(32, y));
    }
    for corners in [
        [[0.0, 0.0, 900.0], [1.0, 0.0, 900.0], [0.0, 1.0, 900.0]],
        [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.2, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        [[1e30, 0.0, 0.0], [0.0, 1e30, 0.0], [-1e30, 0.0, 1e30]],
        [[f32::MAX, f32::MAX, f32::MAX], [f32::MIN, 0.0, 0.0], [0.0, f32::MIN, 0.0]],
        [[7.0, 0.0, 0.0], [8.0, 0.0, 0.0], [7.0, 1.0, 0.0]],
    ] {
        let image = draw(&Still::new(&[(&corners, plain([1.0; 4]))]), &flat_view(48));
        let covered = image.rgba.chunks(4).filter(|pixel| pixel[3] > 0).count();
        assert!(covered == 0 || corners[0][0] == 1e30, "{corners:?}: {covered}");
    }
}

#[test]
fn shadows_fall_and_corners_are_dark() {
    // A small square before a large one: the key light comes from the upper left.
    let (wall, screen) = (square(0.6, 0.0), square(0.12, 0.15));
    let grey = || plain([0.5, 0.5, 0.5, 1.0]);
    let options = RenderOptions { exposure: 1.0, ..flat_view(128) };
    let both = draw(&Still::new(&[(&wall, grey()), (&screen, grey())]), &options);
    let alone = draw(&Still::new(&[(&wall, grey())]), &options);
    let at = |image: &Image, x: usize, y: usize| i32::from(image.pixel(x, y)[1]);
    // Its shadow is shifted by depth times the light's slope: 0.15 * (0.62, -0.69) of a metre.
    let (x, y) = (64 + 12 + 8, 64 + 13 + 8);
    assert!(at(&alone, x, y) - at(&both, x, y) > 30, "{} {}", at(&alone, x, y), at(&both, x, y));
    assert!((at(&alone, 20, 20) - at(&both, 20, 20)).abs() < 8);
}

#[test]
fn bad_input_is_an_error() {
    let head = ball_head(12, false);
    for (width, height) in [(0, 64), (64, 0), (5000, 64), (usize::MAX, usize::MAX)] {
        let options = RenderOptions { width, height, ..RenderOptions::default() };
        assert!(FaceRenderer::new(&head, &options).is_err());
        assert!(Stage::new(&[&head, &head], &options, 0.0).is_err());
    }
    let wide = RenderOptions { width: 2500, height: 8, ..RenderOptions::default() };
    assert!(Stage::new(&[&head, &head], &wide, 0.0).is_err());
    assert!(Stage::new(&[], &RenderOptions::default(), 0.0).is_err());
    for exposure in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(FaceRenderer::new(&head, &RenderOptions { exposure, ..RenderOptions::default() }).is_err());
    }
    for view in [
        View { yaw: f32::NAN, ..View::default() },
        View { field: 0.0, ..View::default() },
        View { field: 4.0, ..View::default() },
        View { zoom: 0.0, ..View::default() },
        View { focus: Focus::Point { center: [0.0; 3], height: -1.0 }, ..View::default() },
    ] {
        assert!(FaceRenderer::new(&head, &RenderOptions { view, ..RenderOptions::default() }).is_err());
    }
    let small = RenderOptions { width: 8, height: 8, ..RenderOptions::default() };
    let mut renderer = FaceRenderer::new(&head, &small).unwrap();
    let mut image = Image::default();
    for frame in [&NEUTRAL[..54], &[0.0; 108][..], &[f32::NAN; 55][..], &[]] {
        assert!(renderer.render(frame, &mut image).is_err());
    }
    // Finite but absurd motion is drawn as far as it can be seen.
    renderer.render(&[1e30; 55], &mut image).unwrap();
    renderer.render(&NEUTRAL, &mut image).unwrap();
    let mut stage = Stage::new(&[&head, &head], &small, 0.2).unwrap();
    assert!(stage.render(&[&NEUTRAL], &mut image).is_err());
    assert!(frame_of(&head, &[("noSuchShape", 1.0)]).is_err());
    let texture = Some(Texture { mime: "image/png".into(), bytes: vec![1, 2, 3] });
    let mut broken = Still::new(&[(&square(0.3, 0.0), Material { texture, ..plain([1.0; 4]) })]);
    assert!(FaceRenderer::new(&broken, &small).is_err());
    broken.0.uvs = vec![[0.0; 2]; 4];
    assert!(FaceRenderer::new(&broken, &small).is_err());
}

#[test]
fn bytes_do_not_depend_on_threads_or_on_what_was_drawn_before() {
    let head = ball_head(40, true);
    let options = RenderOptions { width: 200, height: 133, ..RenderOptions::default() };
    let frame = frame_of(&head, &[("jawOpen", 0.6), ("headYaw", 0.4)]).unwrap();
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut stage = Stage::new(&[&head, &head], &options, 0.3).unwrap();
            let mut image = Image::default();
            stage.render(&[&NEUTRAL, &NEUTRAL], &mut image).unwrap();
            stage.render(&[&frame, &NEUTRAL], &mut image).unwrap();
            image
        })
    };
    let one = with_threads(1);
    for threads in [2, 3, 8] {
        assert!(with_threads(threads) == one, "{threads} threads");
    }
    let mut fresh = Image::default();
    Stage::new(&[&head, &head], &options, 0.3).unwrap().render(&[&frame, &NEUTRAL], &mut fresh).unwrap();
    assert!(fresh == one);
}

/// Compares with the picture kept in `fixtures/render`; `UNILS_BLESS=1` keeps the new one instead.
fn snapshot(name: &str, image: &Image) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/render").join(name);
    if std::env::var_os("UNILS_BLESS").is_some() {
        unils_render::picture::write_png(&path, image).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 20_000, "{name} is too large to keep");
        return;
    }
    let file = std::fs::File::open(&path).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut kept = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut kept).unwrap();
    let channels = info.color_type.samples();
    assert_eq!((info.width as usize, info.height as usize), (image.width, image.height), "{name}");
    // Elsewhere sines and exponentials may differ in the last bit, and a sample of an edge may fall to the other side.
    let exact = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    let (mut largest, mut sum) = (0, 0.0);
    for (pixel, kept) in image.rgba.chunks(4).zip(kept.chunks(channels)) {
        for (new, old) in pixel.iter().zip(kept) {
            largest = largest.max(new.abs_diff(*old));
            sum += f64::from(new.abs_diff(*old));
        }
    }
    let mean = sum / image.rgba.len() as f64;
    assert!(
        if exact { largest == 0 } else { largest <= 32 && mean < 0.02 },
        "{name} differs by up to {largest}, {mean:.4} on average; if that is meant, run with UNILS_BLESS=1 and look"
    );
}

#[test]
fn heads_look_as_before() {
    let (head, monocle) = (ball_head(48, false), ball_head(48, true));
    let small = RenderOptions { width: 96, height: 96, ..RenderOptions::default() };
    snapshot("neutral.png", &draw(&head, &small));
    let clear = RenderOptions { background: Background::Transparent, ..small.clone() };
    let side = RenderOptions { view: View { yaw: -0.6, pitch: 0.2, zoom: 1.2, ..View::default() }, ..clear };
    snapshot("monocle.png", &look(&monocle, &[("jawOpen", 0.7), ("headYaw", 0.3)], &side).unwrap());
    let frame =
        frame_of(&head, &[("eyeLookUpLeft", 1.0), ("eyeLookUpRight", 1.0), ("headRoll", 0.2)]).unwrap();
    let mut image = Image::default();
    Stage::new(&[&head, &monocle], &small, 0.35).unwrap().render(&[&frame, &NEUTRAL], &mut image).unwrap();
    snapshot("stage.png", &image);
}
