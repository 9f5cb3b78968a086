(function(w){w.STREAMS={main:{hls:"/p/api-linked-script/v/index.m3u8"}};})(window);
