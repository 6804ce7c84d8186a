"""Images: read from files and arrays, converted to what models take, and drawn as one picture.

An image is [H, W, C] with C = 1 (grey) or 3 (red, green, blue), uint8 0..255 or float32 in [0, 1].
"""
