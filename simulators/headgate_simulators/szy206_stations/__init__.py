"""Water resources stations (SL/T 427-2021, SZY 206-2016) that dial a centre, written from the standard."""
