"""Lateral films projected from a real CT whose vertebrae are labelled: real anatomy with exact corners."""
