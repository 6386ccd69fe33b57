module go-rpc

go 1.27
