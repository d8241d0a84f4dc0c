-- For Neovim 0.11 and later: `vim.lsp.enable('flowgate')` reads this file.
return {
  cmd = function(dispatchers, config)
    local cmd = require('flowgate').cmd()
    return vim.lsp.rpc.start(cmd, dispatchers, { cwd = config and config.root_dir })
  end,
  -- Every type of file is asked about: what is flowgate's is told by name, place and text. Calls `on_dir` for flowgate's own files only, so that no other file starts the server.
  root_dir = function(buffer, on_dir)
    local flowgate = require('flowgate')
    local path = vim.api.nvim_buf_get_name(buffer)
    if path ~= '' and flowgate.is_ours(path, buffer) then
      on_dir(flowgate.root(path))
    end
  end,
}
