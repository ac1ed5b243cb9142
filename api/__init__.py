"""Our users' HTTP: endpoints parse, call and return; what all of them share is in app, deps, errors and their like."""
