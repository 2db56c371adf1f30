DEMO_HELP = "x"


def demo() -> None:
    """x."""
