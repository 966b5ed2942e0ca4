//! The Mersenne Twister as Python's `random` uses it: the day is the very day that the published model counts, to the
//! connection.

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// Python's `random.Random(seed)`.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u32; WORDS],
    next: usize,
}

#[expect(
    clippy::indexing_slicing,
    reason = "every index is below WORDS, by the loops' bounds and the remainders"
)]
impl Random {
    /// `Random(seed)`, for a seed of 32 bits: init_by_array of Matsumoto and Nishimura with one word.
    pub fn new(seed: u32) -> Self {
        let mut random = Random { state: [0; WORDS], next: WORDS };
        let state = &mut random.state;
        let mix = |previous: u32| previous ^ (previous >> 30);
        state[0] = 19_650_218;
        for i in 1..WORDS {
            state[i] = mix(state[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(low(i));
        }
        let mut i = 1;
        let step = |i: &mut usize, state: &mut [u32; WORDS]| {
            *i += 1;
            if *i == WORDS {
                state[0] = state[WORDS - 1];
                *i = 1;
            }
        };
        for _ in 0..WORDS {
            state[i] = (state[i] ^ mix(state[i - 1]).wrapping_mul(1_664_525)).wrapping_add(seed);
            step(&mut i, state);
        }
        for _ in 1..WORDS {
            state[i] = (state[i] ^ mix(state[i - 1]).wrapping_mul(1_566_083_941)).wrapping_sub(low(i));
            step(&mut i, state);
        }
        state[0] = 0x8000_0000;
        random
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            for i in 0..WORDS {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `random()`: from 0 to 1, without 1, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `randrange(below)`.
    pub fn below(&mut self, below: u32) -> u32 {
        let bits = u32::BITS - below.leading_zeros();
        loop {
            let drawn = self.word() >> (u32::BITS - bits);
            if drawn < below {
                return drawn;
            }
        }
    }

    /// `uniform(from, to)`.
    pub fn uniform(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// `expovariate(1 / mean)`.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() / (1.0 / mean)
    }
}

fn low(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_draws_what_python_draws() {
        let mut random = Random::new(1);
        // python3 -c 'import random; r = random.Random(1); print(r.random(), r.random(), r.randrange(20000), r.randrange(6))'
        assert_eq!(random.unit(), 0.134_364_244_112_401_22);
        assert_eq!(random.unit(), 0.847_433_736_937_232_7);
        assert_eq!((random.below(20_000), random.below(6)), (2067, 2));
    }
}
