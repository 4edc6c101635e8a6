"""The flows of each subject: what is sent to Redis, and what the replies mean."""
