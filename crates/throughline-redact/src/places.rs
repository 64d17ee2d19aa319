//! Where bytes of a kind stand in a text. Many bytes are looked at together and without a branch for each, which takes less than
//! to search for each of them anew where they are dense.

/// How many bytes are looked at together.
const BLOCK: usize = 32;

/// A bit for each byte of a block that is of a kind, the lowest for the first.
#[inline]
fn bits(block: &[u8; BLOCK], is: &impl Fn(u8) -> bool) -> u32 {
    // The product has the eight lowest bits of eight bytes in its highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let kinds = kinds(block, is);
    let (eights, _) = kinds.as_chunks::<8>();
    let gathered = eights.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    gathered.enumerate().fold(0, |bits, (place, eight)| bits | ((eight as u32) << (8 * place)))
}

/// A one for each byte of a block that is of a kind.
// The compiler makes vector code of this, some 20 instructions; of this and the gathering in one function it makes 200.
#[inline(never)]
fn kinds(block: &[u8; BLOCK], is: &impl Fn(u8) -> bool) -> [u8; BLOCK] {
    block.map(|byte| u8::from(is(byte)))
}

/// The blocks of a text, as bits for the bytes that are of a kind.
struct Blocks<'t, F> {
    rest: &'t [u8],
    is: F,
}

impl<F: Fn(u8) -> bool> Iterator for Blocks<'_, F> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if let Some((block, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return Some(bits(block, &self.is));
        }
        let rest = std::mem::take(&mut self.rest);
        let mut block = [0; BLOCK];
        block.get_mut(..rest.len()).filter(|_| !rest.is_empty())?.copy_from_slice(rest);
        Some(bits(&block, &self.is) & ((1 << rest.len()) - 1))
    }
}

/// The places of the bytes of a kind, in order.
#[inline]
pub(crate) fn places<'t>(bytes: &'t [u8], is: impl Fn(u8) -> bool + 't) -> impl Iterator<Item = usize> + 't {
    let mut blocks = Blocks { rest: bytes, is };
    let (mut end, mut left) = (0, 0_u32);
    std::iter::from_fn(move || {
        while left == 0 {
            left = blocks.next()?;
            end += BLOCK;
        }
        let place = end - BLOCK + left.trailing_zeros() as usize;
        left &= left - 1;
        Some(place)
    })
}

/// Whether some bytes in a row are what is asked for, anywhere in a text: a window has as many as begin in a block, 31 more than
/// are in a row. It must not ask for zeros, which are behind the end of a short text.
#[inline]
pub(crate) fn any_in_row<const ROW: usize, const WINDOW: usize>(
    text: &[u8],
    is: impl Fn([u8; ROW]) -> bool,
) -> bool {
    const { assert!(WINDOW == ROW + BLOCK - 1) };
    let Some(last) = text.last_chunk() else {
        let mut window = [0; WINDOW];
        window[..text.len()].copy_from_slice(text);
        return any_in_window(&window, &is);
    };
    let mut rest = text;
    while let Some(window) = rest.first_chunk() {
        if any_in_window::<ROW, WINDOW>(window, &is) {
            return true;
        }
        rest = &rest[BLOCK..];
    }
    // It begins within the one before.
    any_in_window::<ROW, WINDOW>(last, &is)
}

/// The same in a window.
// On its own the compiler makes vector code of it, about 40 instructions.
#[inline(never)]
fn any_in_window<const ROW: usize, const WINDOW: usize>(
    window: &[u8; WINDOW],
    is: &impl Fn([u8; ROW]) -> bool,
) -> bool {
    let mut any = false;
    for at in 0..BLOCK {
        any |= is(std::array::from_fn(|place| window[at + place]));
    }
    any
}

/// Runs of so many bytes of a kind are long.
pub(crate) const LONG_RUN: usize = 15;

/// Where the long runs of bytes of a kind start, in order.
#[inline]
pub(crate) fn long_runs<'t>(
    bytes: &'t [u8],
    is: impl Fn(u8) -> bool + 't,
) -> impl Iterator<Item = usize> + 't {
    const BEFORE: usize = LONG_RUN - 1;
    let mut blocks = Blocks { rest: bytes, is };
    // The bits of a block and of the bytes before it, as many as a run may have that ends in the block.
    let (mut end, mut window, mut within, mut starts) = (0, 0_u64, 0_u64, 0_u64);
    std::iter::from_fn(move || {
        while starts == 0 {
            window = (window >> BLOCK) | (u64::from(blocks.next()?) << BEFORE);
            end += BLOCK;
            let before = within >> (BLOCK - 1);
            within = runs(window);
            starts = within & !((within << 1) | before);
        }
        let place = end - BLOCK + starts.trailing_zeros() as usize - BEFORE;
        starts &= starts - 1;
        Some(place)
    })
}

/// Whether there is a long run of bytes of a kind. To see that all are short not every byte has to be looked at.
pub(crate) fn has_long_run(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let mut end = LONG_RUN;
    while end <= bytes.len() {
        let run = bytes[end - LONG_RUN..end].iter().rev().take_while(|byte| is(**byte)).count();
        if run == LONG_RUN {
            return true;
        }
        end += LONG_RUN - run;
    }
    false
}

/// The bits at which a run of [`LONG_RUN`] bits starts.
fn runs(bits: u64) -> u64 {
    let two = bits & (bits >> 1);
    let four = two & (two >> 2);
    let eight = four & (four >> 4);
    eight & (eight >> 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of many lengths, of two letters with runs of all lengths.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        let mut seed = 1_u64;
        (0..600).map(move |len| {
            let mut letter = b'a';
            (0..len / 2)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if seed >> 60 == 0 {
                        letter ^= 3;
                    }
                    letter
                })
                .collect()
        })
    }

    fn is_b(byte: u8) -> bool {
        byte == b'b'
    }

    #[test]
    fn every_byte_of_a_kind_is_come_upon() {
        for text in texts() {
            let expected: Vec<_> = (0..text.len()).filter(|at| text[*at] == b'b').collect();
            assert!(places(&text, is_b).eq(expected.iter().copied()), "{text:?}");
            assert!(places(&text, |byte| byte == 0).next().is_none(), "there is nothing behind the end");
        }
    }

    #[test]
    fn what_stands_in_a_row_is_seen_wherever_it_is() {
        for len in 0..80 {
            for place in 0..len {
                let mut text = vec![b'.'; len];
                text[place..len.min(place + 3)].copy_from_slice(&b"abc"[..len.min(place + 3) - place]);
                let has_three = any_in_row::<3, 34>(&text, |[one, two, three]| {
                    (one == b'a') & (two == b'b') & (three == b'c')
                });
                let has_four = any_in_row::<4, 35>(&text, |[one, two, three, four]| {
                    (one == b'a') & (two == b'b') & (three == b'c') & (four == b'.')
                });
                assert_eq!((has_three, has_four), (place + 3 <= len, place + 4 <= len), "{len} {place}");
            }
        }
    }

    #[test]
    fn every_long_run_is_come_upon_where_it_starts() {
        let mut seen = 0;
        for text in texts() {
            let starts_run = |at: &usize| {
                text[*at..].len() >= LONG_RUN
                    && text[*at..*at + LONG_RUN].iter().all(|byte| *byte == b'b')
                    && (*at == 0 || text[*at - 1] != b'b')
            };
            let expected: Vec<_> = (0..text.len()).filter(starts_run).collect();
            assert!(long_runs(&text, is_b).eq(expected.iter().copied()), "{text:?}");
            assert_eq!(has_long_run(&text, is_b), !expected.is_empty(), "{text:?}");
            seen += expected.len();
        }
        assert!(seen > 100, "{seen}");
    }
}
