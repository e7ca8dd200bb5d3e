"""What a run says of itself: before (time, memory), while it lasts (metrics, answers, spikes), and when it is stopped."""
