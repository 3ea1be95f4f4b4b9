"""Traffic like an identity platform's, as arrays: who does what from where and when, with labelled attacks."""
