"""What a replica is: how to plan one, start one, speak to one and imitate one; never imports gateway."""
