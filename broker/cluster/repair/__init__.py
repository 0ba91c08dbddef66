"""Replicas that lack something: too far behind (`catch_up`), damaged (`damage`, `verify`, `repair`), or without what
they promised (`removal`)."""
