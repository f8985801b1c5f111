"""Restatements: a past period judged again, approved like every change, and posted award by award."""
