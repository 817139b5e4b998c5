//! What the machine itself provides: clock, ids, randomness, password hashing, token signing.
