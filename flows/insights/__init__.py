"""What the business sees in the same events: aggregates that add up, and the page that shows them."""
