//! The few colours of a GIF: chosen for what its pictures hold, and pixels mapped to them.

/// Bits a channel by which colours are counted and looked up.
const BITS: u32 = 6;

/// Cells of a table over all colours.
const CELLS: usize = 1 << (3 * BITS);

/// How much the eye minds errors in red, green and blue.
const WEIGHTS: [f32; 3] = [0.9, 1.3, 0.7];

/// Rounds of moving the colours to the middle of what they stand for.
const ROUNDS: usize = 4;

/// Order of thresholds over 8 x 8 pixels: neighbours are far apart (Bayer 1973).
const BAYER: [[u8; 8]; 8] = bayer();

/// How often each colour occurs.
pub(super) struct Histogram {
    counts: Vec<u32>,
}

/// A cell of the histogram that is not empty: its colour and weight.
#[derive(Clone, Copy)]
struct Sample {
    color: [f32; 3],
    weight: f32,
}

/// At most 255 colours and the way to them.
pub(super) struct Palette {
    /// sRGB.
    pub colors: Vec<[u8; 3]>,
    /// For each cell the nearest colour and one more; 0 if not looked for yet.
    nearest: Vec<u16>,
    /// Width of the dither: about the distance of neighbouring colours.
    spread: f32,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; CELLS] }
    }

    /// Counts the pixels of a picture that are not clear.
    pub(super) fn add(&mut self, rgba: &[u8]) {
        for pixel in rgba.chunks_exact(4).filter(|pixel| pixel[3] >= 128) {
            let count = &mut self.counts[cell([pixel[0], pixel[1], pixel[2]])];
            *count = count.saturating_add(1);
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        // A root, so that large walls leave colours for small eyes.
        filled.map(|(cell, &count)| Sample { color: middle(cell), weight: (count as f32).sqrt() }).collect()
    }
}

impl Palette {
    /// The colours that suit a histogram.
    pub(super) fn new(histogram: &Histogram) -> Self {
        let samples = histogram.samples();
        let mut colors = median_cut(samples.clone());
        for _ in 0..ROUNDS {
            refine(&mut colors, &samples);
        }
        let mut total = (0.0, 0.0);
        for (index, color) in colors.iter().enumerate() {
            let others = colors.iter().enumerate().filter(|(other, _)| *other != index);
            let nearest = others.map(|(_, other)| distance(color, other)).fold(f32::INFINITY, f32::min);
            if nearest.is_finite() {
                total = (total.0 + nearest.sqrt(), total.1 + 1.0);
            }
        }
        // Distances are over three channels; the dither moves all three together.
        let spread = if total.1 > 0.0 { (0.6 * total.0 / total.1).min(24.0) } else { 0.0 };
        let colors = colors.into_iter().map(|color| color.map(|value| value.round() as u8)).collect();
        Self { colors, nearest: vec![0; CELLS], spread }
    }

    /// The colour for a pixel at a place of the picture.
    pub(super) fn index(&mut self, rgb: [u8; 3], x: usize, y: usize) -> u8 {
        let threshold = (f32::from(BAYER[y % 8][x % 8]) - 31.5) / 64.0 * self.spread;
        let moved = rgb.map(|value| (f32::from(value) + threshold + 0.5).clamp(0.0, 255.0) as u8);
        self.nearest(moved)
    }

    fn nearest(&mut self, rgb: [u8; 3]) -> u8 {
        let cell = cell(rgb);
        if self.nearest[cell] == 0 {
            let color = middle(cell);
            let mut best = (f32::INFINITY, 0);
            for (index, candidate) in self.colors.iter().enumerate() {
                let distance = distance(&color, &candidate.map(f32::from));
                if distance < best.0 {
                    best = (distance, index);
                }
            }
            self.nearest[cell] = best.1 as u16 + 1;
        }
        (self.nearest[cell] - 1) as u8
    }

    /// Mean distance, squared, from pixels to their nearest colours; of every `step`th pixel.
    pub(super) fn error(&mut self, rgba: &[u8], step: usize) -> f32 {
        let mut sum = (0.0_f64, 0_u32);
        for pixel in rgba.chunks_exact(4).step_by(step.max(1)).filter(|pixel| pixel[3] >= 128) {
            let rgb = [pixel[0], pixel[1], pixel[2]];
            let index = self.nearest(rgb);
            let color = self.colors.get(usize::from(index)).copied().unwrap_or_default();
            sum.0 += f64::from(distance(&rgb.map(f32::from), &color.map(f32::from)));
            sum.1 += 1;
        }
        if sum.1 > 0 { (sum.0 / f64::from(sum.1)) as f32 } else { 0.0 }
    }
}

fn cell(rgb: [u8; 3]) -> usize {
    rgb.iter().fold(0, |cell, &value| cell << BITS | usize::from(value >> (8 - BITS)))
}

fn middle(cell: usize) -> [f32; 3] {
    let mask = (1 << BITS) - 1;
    // The darkest and the brightest cell stand for black and white.
    let scale = 255.0 / mask as f32;
    [cell >> (2 * BITS), cell >> BITS, cell].map(|bits| (bits & mask) as f32 * scale)
}

fn distance(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i]) * WEIGHTS[i]).sum()
}

/// Samples that share a colour, and how far they are spread along each channel.
struct Group {
    samples: Vec<Sample>,
    mean: [f32; 3],
    /// The channel with the largest sum of squares, and that sum.
    widest: (usize, f32),
}

impl Group {
    fn new(samples: Vec<Sample>) -> Self {
        let weight: f32 = samples.iter().map(|sample| sample.weight).sum();
        let mean: [f32; 3] = std::array::from_fn(|i| {
            samples.iter().map(|s| s.color[i] * s.weight).sum::<f32>() / weight.max(1e-9)
        });
        let spread = |i: usize| -> f32 {
            let squares = samples.iter().map(|s| (s.color[i] - mean[i]).powi(2) * s.weight);
            squares.sum::<f32>() * WEIGHTS[i]
        };
        let widest = (0..3).map(|i| (i, spread(i))).fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        Self { samples, mean, widest }
    }
}

/// Splits the samples along their widest channel until there are enough groups (Heckbert 1982).
fn median_cut(samples: Vec<Sample>) -> Vec<[f32; 3]> {
    let mut groups = vec![Group::new(samples)];
    while groups.len() < 255 {
        let widest = (0..groups.len()).max_by(|&a, &b| groups[a].widest.1.total_cmp(&groups[b].widest.1));
        let Some(index) = widest.filter(|&index| groups[index].widest.1 > 0.0) else { break };
        let Group { samples, mean, widest: (channel, _) } = groups.swap_remove(index);
        let (low, high): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|sample| sample.color[channel] < mean[channel]);
        if low.is_empty() || high.is_empty() {
            // Rounding made the mean one of the ends: they are all alike.
            groups.push(Group { samples: [low, high].concat(), mean, widest: (channel, 0.0) });
            continue;
        }
        groups.push(Group::new(low));
        groups.push(Group::new(high));
    }
    groups.into_iter().map(|group| group.mean).collect()
}

/// Moves every colour to the mean of the samples nearest to it.
fn refine(colors: &mut [[f32; 3]], samples: &[Sample]) {
    let mut sums = vec![([0.0_f32; 3], 0.0_f32); colors.len()];
    for sample in samples {
        let mut best = (f32::INFINITY, 0);
        for (index, color) in colors.iter().enumerate() {
            let distance = distance(&sample.color, color);
            if distance < best.0 {
                best = (distance, index);
            }
        }
        let (sum, weight) = &mut sums[best.1];
        for (sum, value) in sum.iter_mut().zip(sample.color) {
            *sum += value * sample.weight;
        }
        *weight += sample.weight;
    }
    for (color, (sum, weight)) in colors.iter_mut().zip(sums) {
        if weight > 0.0 {
            *color = sum.map(|value| value / weight);
        }
    }
}

const fn bayer() -> [[u8; 8]; 8] {
    let mut table = [[0; 8]; 8];
    let (mut y, mut x) = (0, 0);
    while y < 8 {
        while x < 8 {
            let (mut value, mut bit) = (0, 0);
            while bit < 3 {
                let (a, b) = ((x ^ y) >> bit & 1, y >> bit & 1);
                value |= (a << 1 | b) << (2 * (2 - bit));
                bit += 1;
            }
            table[y][x] = value as u8;
            x += 1;
        }
        x = 0;
        y += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_all_different() {
        let mut all: Vec<u8> = BAYER.concat();
        all.sort_unstable();
        assert_eq!(all, (0..64).collect::<Vec<u8>>());
        assert_eq!([BAYER[0][0], BAYER[0][1], BAYER[1][1]], [0, 32, 16]);
    }

    #[test]
    fn few_colours_are_kept_exactly_enough() {
        let pixels = [[0, 0, 0, 255], [255, 255, 255, 255], [200, 40, 30, 255]].concat();
        let mut histogram = Histogram::new();
        histogram.add(&pixels);
        let mut palette = Palette::new(&histogram);
        assert_eq!(palette.colors.len(), 3);
        for pixel in pixels.chunks(4) {
            let rgb = [pixel[0], pixel[1], pixel[2]];
            let index = palette.nearest(rgb);
            let near = palette.colors[usize::from(index)];
            assert!(rgb.iter().zip(near).all(|(&a, b)| a.abs_diff(b) <= 2), "{rgb:?} {near:?}");
        }
    }

    #[test]
    fn a_gradient_comes_out_right_on_average() {
        let pixels: Vec<u8> = (0..64 * 64).flat_map(|i| [(i % 64) as u8 * 2 + 40, 70, 60, 255]).collect();
        let mut histogram = Histogram::new();
        histogram.add(&pixels);
        let mut palette = Palette::new(&histogram);
        let (mut shown, mut meant) = (0.0, 0.0);
        for (i, pixel) in pixels.chunks(4).enumerate() {
            let index = palette.index([pixel[0], pixel[1], pixel[2]], i % 64, i / 64);
            shown += f32::from(palette.colors[usize::from(index)][0]);
            meant += f32::from(pixel[0]);
        }
        assert!(((shown - meant) / 4096.0).abs() < 1.0, "{shown} {meant}");
        assert!(palette.error(&pixels, 1) < 8.0);
    }

    #[test]
    fn nothing_to_see_is_no_colour() {
        let mut palette = Palette::new(&Histogram::new());
        assert!(palette.colors.len() <= 1);
        assert_eq!(palette.error(&[0; 64], 1), 0.0);
    }
}
