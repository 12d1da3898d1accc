"""The page with continuous zoom: a picture decoded at the resolution of the screen."""
