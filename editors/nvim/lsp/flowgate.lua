-- For Neovim 0.11 and later: `vim.lsp.enable('flowgate')` reads this file.
return {
  cmd = function(dispatchers, config)
    local cmd = require('flowgate').cmd()
    return vim.lsp.rpc.start(cmd, dispatchers, { cwd = config and config.root_dir })
  end,
  filetypes = { 'yaml', 'requirements', 'text' },
  -- Calls `on_dir` for flowgate's own files only, so that no other file starts the server.
  root_dir = function(buffer, on_dir)
    local flowgate = require('flowgate')
    local path = vim.api.nvim_buf_get_name(buffer)
    if flowgate.is_ours(path) then
      on_dir(flowgate.root(path))
    end
  end,
}
