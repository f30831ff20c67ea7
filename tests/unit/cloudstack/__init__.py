"""The client of a region's API, against recorded answers and a scripted server on a real socket."""
