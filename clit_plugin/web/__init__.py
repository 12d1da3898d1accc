"""The page of ``clit web``: continuous zoom into a picture, decoded at the resolution of the screen.

``server.py`` answers the requests; ``scene.py`` decodes the tiles that the page shows.
"""
