"""The training application: data sets and protocols, preprocessing, fit, evaluate, compare."""
