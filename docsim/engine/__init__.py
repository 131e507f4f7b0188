"""Where documents and vectors are kept: the seam in ``base``, and the engine of one machine in ``local``."""
