"""One file a section, each with measure(lab) -> {"lines": [...], "facts": [...]}."""
