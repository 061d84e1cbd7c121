"""The model that is trained, the engine that samples from it, and its versions."""
