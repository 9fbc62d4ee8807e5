//! Pictures of at most 256 colours: a palette by median cut, spread over neighbours by error diffusion.

use std::collections::HashMap;

use unils_render::Image;

/// A PNG of 256 colours.
///
/// # Errors
/// Those of the encoder.
pub fn png(image: &Image) -> std::io::Result<Vec<u8>> {
    let palette = median_cut(image, 256);
    let indices = diffuse(image, &palette);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices)?;
    writer.finish()?;
    Ok(bytes)
}

fn median_cut(image: &Image, colors: usize) -> Vec<[u8; 3]> {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for pixel in image.rgba.chunks_exact(4) {
        *counts.entry([pixel[0] & 0xFC, pixel[1] & 0xFC, pixel[2] & 0xFC]).or_default() += 1;
    }
    let mut all: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    all.sort_unstable();
    let mut boxes = vec![all];
    while boxes.len() < colors {
        // The box with the widest spread, weighted by how much of the picture it is.
        let worth = |list: &Vec<([u8; 3], usize)>| {
            let count: usize = list.iter().map(|entry| entry.1).sum();
            if list.len() < 2 { 0.0 } else { f64::from(spread(list).1).powi(2) * (count as f64).sqrt() }
        };
        let Some(widest) = (0..boxes.len()).max_by(|&a, &b| worth(&boxes[a]).total_cmp(&worth(&boxes[b])))
        else {
            break;
        };
        let mut list = boxes.swap_remove(widest);
        if list.len() < 2 {
            boxes.push(list);
            break;
        }
        let axis = spread(&list).0;
        list.sort_unstable_by_key(|entry| (entry.0[axis], entry.0));
        let half: usize = list.iter().map(|entry| entry.1).sum::<usize>() / 2;
        let mut sum = 0;
        let cut = list.iter().position(|entry| {
            sum += entry.1;
            sum > half
        });
        let upper = list.split_off(cut.unwrap_or(1).clamp(1, list.len() - 1));
        boxes.push(list);
        boxes.push(upper);
    }
    boxes.iter().map(|list| mean(list)).collect()
}

fn spread(list: &[([u8; 3], usize)]) -> (usize, u8) {
    let range = |axis: usize| {
        let values = list.iter().map(|entry| entry.0[axis]);
        values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
    };
    (0..3).map(|axis| (axis, range(axis))).max_by_key(|pair| pair.1).unwrap_or((0, 0))
}

fn mean(list: &[([u8; 3], usize)]) -> [u8; 3] {
    let count = list.iter().map(|entry| entry.1).sum::<usize>().max(1);
    [0, 1, 2].map(|axis| {
        let sum: usize = list.iter().map(|entry| (usize::from(entry.0[axis]) + 2) * entry.1).sum();
        (sum / count).min(255) as u8
    })
}

/// Nearest colours, errors passed on to the right and below (Floyd and Steinberg's weights, at three quarters).
fn diffuse(image: &Image, palette: &[[u8; 3]]) -> Vec<u8> {
    let (width, height) = (image.width, image.height);
    let mut errors = vec![[0_i32; 3]; width + 2];
    let mut nearest: HashMap<[u8; 3], u8> = HashMap::new();
    let mut indices = Vec::with_capacity(width * height);
    for y in 0..height {
        let mut next = vec![[0_i32; 3]; width + 2];
        let mut right = [0_i32; 3];
        for x in 0..width {
            let pixel = image.pixel(x, y);
            let wanted = [0, 1, 2].map(|axis| {
                let error = (errors[x + 1][axis] + right[axis]) / 22;
                (i32::from(pixel[axis]) + error).clamp(0, 255) as u8
            });
            let index = *nearest.entry(wanted).or_insert_with(|| closest(palette, wanted));
            indices.push(index);
            let got = palette[usize::from(index)];
            for axis in 0..3 {
                let error = i32::from(wanted[axis]) - i32::from(got[axis]);
                right[axis] = error * 7;
                next[x][axis] += error * 3;
                next[x + 1][axis] += error * 5;
                next[x + 2][axis] += error;
            }
        }
        errors = next;
    }
    indices
}

fn closest(palette: &[[u8; 3]], wanted: [u8; 3]) -> u8 {
    let distance = |color: &[u8; 3]| {
        let term = |axis: usize| (i32::from(color[axis]) - i32::from(wanted[axis])).pow(2);
        2 * term(0) + 4 * term(1) + term(2)
    };
    let best = palette.iter().enumerate().min_by_key(|(_, color)| distance(color));
    best.map_or(0, |(index, _)| index as u8)
}
