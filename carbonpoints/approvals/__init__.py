"""Change requests and the versions they make: nothing an admin changes changes otherwise."""
