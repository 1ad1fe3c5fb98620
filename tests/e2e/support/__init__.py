"""What the end-to-end tests stand on: real registries, an upstream that can misbehave, weir, and real clients."""
