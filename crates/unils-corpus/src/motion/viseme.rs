//! What the mouth does for each sound: targets and how strongly they are held to.
//!
//! Values are amplitudes of ARKit's coefficients for a clearly spoken sound of a usual person, set by eye on our own head
//! after the descriptions of phonetics (Ladefoged & Johnson 2014) and the groups of Fisher 1968: vowels open the jaw by
//! their height, round or spread the lips; p b m close them; f v bring the lower lip to the teeth; sibilants close the jaw
//! almost, sh-sounds protrude the lips. Weights are the magnitudes of Cohen & Massaro's dominance functions: high where
//! the sound needs the posture, low where it takes on its neighbours'.

use crate::phones::Phone;

/// What of the mouth a sound moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The jaw's opening.
    Jaw,
    /// The lips' closure: 1 shut, beyond pressed (lips aim beyond their contact, Löfqvist & Gracco 1997).
    Close,
    /// Rounding with protrusion.
    Pucker,
    /// Rounding with the lips apart.
    Funnel,
    /// Spread corners.
    Stretch,
    /// Upper lip raised.
    Upper,
    /// Lower lip lowered.
    Lower,
    /// Lower lip at the upper teeth.
    Tuck,
    /// Lips pressed together.
    Press,
    /// Tip of the tongue between the teeth.
    Tongue,
}

/// Number of features.
pub const FEATURES: usize = 10;

/// Time in which a feature's influence fades to a third on the way out of a sound, seconds: lips close fast, rounding
/// reaches far ahead (Benguerel & Cowan 1974).
pub const REACH_S: [f64; FEATURES] = [0.048, 0.018, 0.07, 0.065, 0.06, 0.04, 0.04, 0.02, 0.022, 0.03];

/// Targets and weights of a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viseme {
    /// Target of each feature.
    pub value: [f64; FEATURES],
    /// Weight of each target.
    pub weight: [f64; FEATURES],
}

use Feature::{Close, Funnel, Jaw, Lower, Press, Pucker, Stretch, Tongue, Tuck, Upper};

impl Viseme {
    /// The mouth at rest, lips closed.
    pub const REST: Self = Self { value: [0.0; FEATURES], weight: [1.0; FEATURES] };

    fn new(weight: f64) -> Self {
        Self { value: [0.0; FEATURES], weight: [weight; FEATURES] }
    }

    /// A vowel: opens the jaw, keeps the lips apart, without much resistance to a closure beside it.
    fn vowel(jaw: f64) -> Self {
        Self::new(0.5).set(Jaw, jaw, 0.75).set(Close, 0.0, 0.5).set(Tuck, 0.0, 0.5).set(Press, 0.0, 0.5)
    }

    /// A consonant made inside of the mouth.
    fn inner(jaw: f64, weight: f64) -> Self {
        Self::new(0.15).set(Jaw, jaw, weight).set(Close, 0.0, 0.5).set(Tuck, 0.0, 0.5).set(Press, 0.0, 0.5)
    }

    fn set(mut self, feature: Feature, value: f64, weight: f64) -> Self {
        self.value[feature as usize] = value;
        self.weight[feature as usize] = weight;
        self
    }

    fn lips(self, upper: f64, lower: f64) -> Self {
        self.set(Upper, upper, 0.5).set(Lower, lower, 0.5)
    }

    fn round(self, pucker: f64, funnel: f64, weight: f64) -> Self {
        self.set(Pucker, pucker, weight).set(Funnel, funnel, weight)
    }

    fn spread(self, stretch: f64) -> Self {
        self.set(Stretch, stretch, 0.6)
    }

    /// The viseme of a single sound. Gliding vowels are taken apart before ([`Phone::glide`]); theirs is the first part's.
    pub fn of(phone: Phone) -> Self {
        use Phone::*;
        match phone {
            Aa | Aw | Ay => Self::vowel(0.62).lips(0.08, 0.16),
            Ae => Self::vowel(0.55).lips(0.14, 0.24).spread(0.18),
            Ah => Self::vowel(0.44).lips(0.06, 0.12),
            Ao | Oy | Ow => Self::vowel(0.48).round(0.16, 0.34, 0.8).lips(0.04, 0.12),
            Ax => Self::vowel(0.26).lips(0.05, 0.1).set(Jaw, 0.26, 0.45),
            Eh | Ey => Self::vowel(0.43).lips(0.1, 0.2).spread(0.16),
            Er => Self::vowel(0.28).round(0.16, 0.24, 0.7).lips(0.06, 0.1),
            Ih => Self::vowel(0.28).lips(0.08, 0.17).spread(0.14),
            Iy => Self::vowel(0.21).lips(0.1, 0.22).spread(0.34),
            Uh => Self::vowel(0.28).round(0.34, 0.22, 0.8),
            Uw => Self::vowel(0.19).round(0.8, 0.2, 1.3),
            Ue => Self::vowel(0.15).round(0.76, 0.22, 1.3),
            Oe => Self::vowel(0.31).round(0.36, 0.34, 1.0),
            P | B | M => {
                let press = if phone == M { 0.14 } else { 0.3 };
                Self::new(0.12)
                    .set(Jaw, 0.12, 0.55)
                    .set(Close, 1.4, 1.0)
                    .set(Press, press, 1.0)
                    .lips(0.0, 0.0)
            }
            F | V => Self::new(0.15)
                .set(Jaw, 0.1, 1.0)
                .set(Tuck, 1.25, 1.0)
                .set(Close, 0.0, 0.6)
                .set(Upper, 0.2, 0.9)
                .set(Lower, 0.0, 0.9),
            Th | Dh => Self::inner(0.17, 0.7).set(Tongue, 0.2, 1.0).lips(0.06, 0.12),
            T | D => Self::inner(0.13, 0.8).lips(0.06, 0.12),
            N | L => Self::inner(0.17, 0.6).lips(0.05, 0.12),
            S | Z => Self::inner(0.07, 1.3).lips(0.1, 0.18).spread(0.2),
            R => Self::inner(0.16, 0.6).round(0.3, 0.28, 0.6),
            Sh | Zh | Ch | Jh => Self::inner(0.1, 1.1).round(0.26, 0.5, 1.0).lips(0.14, 0.16),
            K | G | Ng | X => Self::inner(0.2, 0.45),
            H | Glottal => Self::inner(0.2, 0.06),
            W => Self::inner(0.09, 0.9).round(0.92, 0.12, 1.4),
            Y => Self::inner(0.14, 0.7).spread(0.28).lips(0.08, 0.16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_are_shaped_as_phonetics_says() {
        let value = |phone, feature| Viseme::of(phone).value[feature as usize];
        for phone in Phone::ALL.iter().copied() {
            assert_eq!(value(phone, Close) > 1.0, phone.is_bilabial(), "{phone:?}");
            assert_eq!(value(phone, Tuck) > 1.0, matches!(phone, Phone::F | Phone::V), "{phone:?}");
            assert!(Viseme::of(phone).weight.iter().all(|&weight| weight > 0.0));
        }
        assert!(
            value(Phone::Aa, Jaw) > value(Phone::Eh, Jaw) && value(Phone::Eh, Jaw) > value(Phone::Iy, Jaw)
        );
        assert!(value(Phone::Uw, Pucker) > 0.5 && value(Phone::W, Pucker) > 0.5);
        assert!(value(Phone::Iy, Stretch) > value(Phone::Ih, Stretch));
        assert!(value(Phone::S, Jaw) < value(Phone::T, Jaw));
    }
}
