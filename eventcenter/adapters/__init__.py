"""From a plugin's release at its forge to `plugin.release.published`: one module a forge, and one way in for all of them."""
