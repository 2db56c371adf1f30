"""Gradient descent on logistic losses, from many starts and with many steps at once."""
