"""What a replica is: plan one, start one, speak to one, imitate one; never imports gateway."""
