//! Secrets, from the operating system's own generator.

use mosaic_ports::Randomness;

/// The operating system's randomness: what refresh tokens and signing keys are made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandomness;

impl Randomness for OsRandomness {
    /// # Panics
    /// When the operating system has no randomness to give: nothing that follows would be secret.
    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system provides randomness");
        secret
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn secrets_differ_and_every_byte_of_them_varies() {
        let secrets: Vec<[u8; 32]> = (0..64).map(|_| OsRandomness.secret()).collect();
        assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), 64);
        for position in 0..32 {
            // 64 equal bytes by chance: once in 2^504.
            assert!(
                secrets
                    .iter()
                    .any(|secret| secret[position] != secrets[0][position]),
                "byte {position} never changes"
            );
        }
    }
}
