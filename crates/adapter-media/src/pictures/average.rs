//! Fewer pixels: each is the average of those that it takes the place of, by how much of them it covers.
//!
//! Counted in whole numbers. Of `from` pixels in a row become `to`: each of the former is `to` units long, and each of the
//! latter `from`, so that both rows have the same length.

/// The pixels of a picture with `N` bytes each, of which the fourth is how much it covers what is behind it. `to` is no larger
/// than `from` in either direction, and both have pixels.
pub(super) fn average<const N: usize>(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let area = u64::from(from.0) * u64::from(from.1);
    let (row_bytes, cells) = (from.0 as usize * N, to.0 as usize);
    let mut row = vec![[0_u32; N]; cells];
    let mut sums = vec![[0_u64; N]; cells];
    let mut averages = Vec::with_capacity(cells * to.1 as usize * N);
    let mut missing = from.1;
    for pixels in pixels.chunks_exact(row_bytes) {
        sum_row(pixels.as_chunks().0, from.0, to.0, &mut row);
        let mut left = to.1;
        while left > 0 {
            let part = left.min(missing);
            for (sums, cells) in sums.iter_mut().zip(&row) {
                for (sum, cell) in sums.iter_mut().zip(cells) {
                    *sum += u64::from(*cell) * u64::from(part);
                }
            }
            left -= part;
            missing -= part;
            if missing == 0 {
                averages.extend(sums.iter().flat_map(|sums| pixel(sums, area)));
                sums.fill([0; N]);
                missing = from.1;
            }
        }
    }
    averages
}

/// One row of pixels, in fewer cells. The largest sum is 255 x 255 x 65,535, which 32 bits just hold.
fn sum_row<const N: usize>(pixels: &[[u8; N]], from: u32, to: u32, row: &mut [[u32; N]]) {
    let mut pixels = pixels.iter().copied().map(weighed);
    let (mut pixel, mut left) = ([0; N], 0);
    for cell in row {
        let (mut sums, mut missing) = ([0; N], from);
        while missing > 0 {
            if left == 0 {
                let Some(next) = pixels.next() else { break };
                (pixel, left) = (next, to);
            }
            let part = missing.min(left);
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += value * part;
            }
            missing -= part;
            left -= part;
        }
        *cell = sums;
    }
}

/// A pixel whose colours count as much as they are seen: else that of what is not seen would shine through at the edges.
fn weighed<const N: usize>(pixel: [u8; N]) -> [u32; N] {
    let mut weighed = pixel.map(u32::from);
    if let [colours @ .., alpha] = &mut weighed[..]
        && N == 4
    {
        for colour in colours {
            *colour *= *alpha;
        }
    }
    weighed
}

/// The average of what was summed up over an area.
fn pixel<const N: usize>(sums: &[u64; N], area: u64) -> [u8; N] {
    let seen = if N == 4 { sums[N - 1] } else { area };
    let mut average = sums.map(|sum| divided(sum, seen));
    if N == 4 {
        average[N - 1] = divided(seen, area);
    }
    average
}

fn divided(sum: u64, by: u64) -> u8 {
    u8::try_from((sum + by / 2) / by.max(1)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_counts_as_much_as_it_is_covered() {
        assert_eq!(average::<1>(&[0, 90, 255], (3, 1), (2, 1)), [30, 200]);
        assert_eq!(average::<1>(&[0, 90, 255], (1, 3), (1, 2)), [30, 200]);
        assert_eq!(average::<1>(&[0, 0, 0, 255], (2, 2), (1, 1)), [64]);
        assert_eq!(
            average::<3>(&[0, 10, 20, 100, 110, 120], (2, 1), (1, 1)),
            [50, 60, 70]
        );
        assert_eq!(average::<1>(&[1, 2, 3, 4], (2, 2), (2, 2)), [1, 2, 3, 4]);
    }

    #[test]
    fn the_colour_of_what_is_not_seen_does_not_count() {
        let (red, nothing) = ([255, 0, 0, 255], [0, 255, 0, 0]);
        let pixels = [red, nothing].concat();
        assert_eq!(average::<4>(&pixels, (2, 1), (1, 1)), [255, 0, 0, 128]);
        assert_eq!(average::<4>(&nothing.repeat(2), (2, 1), (1, 1)), [0, 0, 0, 0]);
    }

    #[test]
    fn the_longest_sides_do_not_overflow() {
        let white = vec![255; 65_535 * 4];
        for (from, to) in [
            ((65_535, 1), (1, 1)),
            ((1, 65_535), (1, 1)),
            ((65_535, 1), (65_534, 1)),
        ] {
            assert!(
                average::<4>(&white, from, to).iter().all(|byte| *byte == 255),
                "{from:?}"
            );
        }
    }
}
