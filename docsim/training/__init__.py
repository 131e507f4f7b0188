"""Training: towers in Keras, teachers, and how both become an encoder. The only package that imports Keras."""
