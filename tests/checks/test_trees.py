"""What each of ops/check's scripts that looks at a tree says of one in order, and of none."""
import pytest

pytestmark = pytest.mark.parametrize("check", ["banned.py", "direction.py", "headers.py"])


def test_a_tree_in_order_passes(tree, check):
    tree.accepts(check)


def test_an_empty_tree_is_not_a_pass(tree, tmp_path, check):
    tree.path = tmp_path
    status, output = tree.run(check)
    assert status == 1 and "nothing to look at" in output
