"""Who is compared: each contestant starts its servers, all on the server core, and says where to connect."""
