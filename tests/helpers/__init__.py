"""What several test files share, by subject."""

from pylstm import _dispatch as dispatch  # which build of the kernels runs

__all__ = ["dispatch"]
