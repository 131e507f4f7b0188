"""Encoder towers in Keras: layers, kinds of towers, ONNX export, saving and loading."""
