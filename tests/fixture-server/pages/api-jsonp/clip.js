callback({"clip":{"title":"Clip","manifest":"{{site}}/v/index.m3u8"}});
